#include "api/openai/conversation.h"

#include <fmt/format.h>

#include <utility>

#include "base/json.h"

namespace onnxlocal::openai {

namespace {

constexpr std::string_view kParagraph = "\n\n";

void append(std::string& text, std::string_view more, std::string_view separator) {
  if (more.empty()) return;
  if (!text.empty()) text += separator;
  text += more;
}

Result<std::string_view> parse_part(const json::value& value, std::string path) {
  TRY(const Fields part, Fields::of(value, std::move(path)));
  TRY(const std::string_view type, part.require_text("type"));
  if (type == "text" || type == "input_text" || type == "output_text") {
    return part.require_text("text");
  }
  if (type == "refusal") return part.require_text("refusal");
  if (type == "image_url" || type == "input_image") {
    return std::unexpected(field_error(
        part.path(), fmt::format("'{}' is not supported: the model here cannot see", type)));
  }
  return std::unexpected(field_error(
      part.path(), fmt::format("content of the type '{}' is not supported by this server", type)));
}

}  // namespace

void Conversation::add_system(std::string_view text) {
  const bool is_first = messages_.empty() || messages_.back().role == Role::kSystem;
  if (is_first) {
    add_text(Role::kSystem, text);
  } else {
    add_user(fmt::format("<system-reminder>\n{}\n</system-reminder>", text));
  }
}

void Conversation::add_thinking(std::string_view text) {
  if (text.empty()) return;
  message_of(Role::kAssistant).content.emplace_back(ThinkingBlock{.text = std::string(text)});
}

Result<void> Conversation::add_call(std::string_view id, std::string_view name,
                                    std::string_view arguments, std::string_view path) {
  const std::string input(arguments.empty() ? std::string_view("{}") : arguments);
  const auto parsed = json::parse(input);
  if (!parsed || !parsed->is_object()) {
    return std::unexpected(field_error(path, "Input should be the text of a JSON object"));
  }
  message_of(Role::kAssistant)
      .content.emplace_back(
          ToolUseBlock{.id = std::string(id), .name = std::string(name), .input = input});
  call_names_.insert_or_assign(std::string(id), std::string(name));
  return {};
}

void Conversation::add_call_result(std::string_view id, std::string_view text) {
  const auto name = call_names_.find(id);
  message_of(Role::kUser)
      .content.emplace_back(
          ToolResultBlock{.tool_use_id = std::string(id),
                          .name = name == call_names_.end() ? std::string() : name->second,
                          .text = std::string(text)});
}

void Conversation::add_text(Role role, std::string_view text) {
  std::vector<ContentBlock>& content = message_of(role).content;
  if (!content.empty()) {
    if (auto* last = std::get_if<TextBlock>(&content.back())) {
      append(last->text, text, kParagraph);
      return;
    }
    if (text.empty()) return;
  }
  content.emplace_back(TextBlock{.text = std::string(text)});
}

Message& Conversation::message_of(Role role) {
  if (messages_.empty() || messages_.back().role != role) {
    messages_.push_back({.role = role, .content = {}});
  }
  return messages_.back();
}

Result<std::string> parse_content(const json::value* content, const std::string& path) {
  if (content == nullptr) return std::string();
  if (content->is_string()) return std::string(content->get_string());
  const json::array* parts = content->if_array();
  if (parts == nullptr) {
    return std::unexpected(
        field_error(path, "Input should be a valid string or a list of content parts"));
  }
  std::string text;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    TRY(const std::string_view part, parse_part((*parts)[i], fmt::format("{}.{}", path, i)));
    append(text, part, "\n");
  }
  return text;
}

}  // namespace onnxlocal::openai
