#include "api/anthropic/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

namespace onnxlocal::anthropic {

namespace {

constexpr std::string_view kParagraph = "\n\n";
/// Claude Code's own line about who pays; it differs between conversations that are else the same.
constexpr std::string_view kBillingPrefix = "x-anthropic-billing-header:";

/// Kinds that the Messages API has and this codec does not take yet.
constexpr std::array<std::string_view, 8> kUnsupportedBlocks = {
    "image",       "document",        "search_result",    "tool_use",
    "tool_result", "server_tool_use", "container_upload", "tool_reference"};

/// One message with all its text.
struct Turn {
  Role role = Role::kUser;
  std::string text;
};

void append(std::string& text, std::string_view more, std::string_view separator) {
  if (more.empty()) return;
  if (!text.empty()) text += separator;
  text += more;
}

Error unsupported_block(std::string_view path, std::string_view type) {
  const bool is_known = std::ranges::find(kUnsupportedBlocks, type) != kUnsupportedBlocks.end() ||
                        type.ends_with("_tool_result");
  if (is_known) {
    return field_error(path, fmt::format("`{}` blocks are not supported by this server", type));
  }
  return field_error(path,
                     fmt::format("Input tag '{}' found using 'type' does not match any of the "
                                 "expected tags: 'text', 'thinking', 'redacted_thinking'",
                                 type));
}

/// The text of one block; empty for old thinking, which belongs to no prompt.
Result<std::string_view> parse_block(const json::value& value, std::string path, Role role) {
  TRY(const Fields block, Fields::of(value, std::move(path)));
  TRY(const std::string_view type, block.require_text("type"));
  if (type == "text") return block.require_text("text");
  if (role == Role::kAssistant && (type == "thinking" || type == "redacted_thinking")) {
    return std::string_view();
  }
  return std::unexpected(unsupported_block(block.path(), type));
}

Result<std::string> parse_content(const json::value& content, const std::string& path, Role role) {
  if (content.is_string()) return std::string(content.get_string());
  const json::array* blocks = content.if_array();
  if (blocks == nullptr) {
    return std::unexpected(
        field_error(path, "Input should be a valid string or a list of content blocks"));
  }
  // An assistant's blocks are what a model wrote in one go; others are separate paragraphs.
  const std::string_view separator = role == Role::kAssistant ? std::string_view() : kParagraph;
  std::string text;
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    TRY(const std::string_view part,
        parse_block((*blocks)[i], fmt::format("{}.{}", path, i), role));
    if (role == Role::kSystem && part.starts_with(kBillingPrefix)) continue;
    append(text, part, separator);
  }
  return text;
}

Result<Role> parse_role(const Fields& message) {
  TRY(const std::string_view role, message.require_text("role"));
  if (role == "user") return Role::kUser;
  if (role == "assistant") return Role::kAssistant;
  if (role == "system") return Role::kSystem;
  return std::unexpected(
      field_error(message.path_of("role"), "Input should be 'user', 'assistant' or 'system'"));
}

Result<Turn> parse_turn(const json::value& value, std::size_t index, bool is_last) {
  TRY(const Fields message, Fields::of(value, fmt::format("messages.{}", index)));
  TRY(const Role role, parse_role(message));
  TRY(const json::value* content, message.require("content"));
  TRY(std::string text, parse_content(*content, message.path_of("content"), role));
  // An assistant's turn may hold thinking alone.
  const bool may_be_empty = role == Role::kSystem || is_last || !content->is_string();
  if (text.empty() && (role == Role::kUser || !may_be_empty)) {
    return std::unexpected(field_error(message.path(),
                                       "all messages must have non-empty content except for the "
                                       "optional final assistant message"));
  }
  return Turn{.role = role, .text = std::move(text)};
}

/// Places each turn by the rule of request.h.
class Canonicalizer {
 public:
  explicit Canonicalizer(std::string system) : system_(std::move(system)) {}

  void add(Turn turn) {
    const bool follows_first_user = users_ == 1 && only_system_since_user_;
    if (turn.role == Role::kSystem && (turns_.empty() || follows_first_user)) {
      append(system_, turn.text, kParagraph);
      return;
    }
    if (turn.role == Role::kSystem) {
      turn = {.role = Role::kUser,
              .text = fmt::format("<system-reminder>\n{}\n</system-reminder>", turn.text)};
    }
    users_ += turn.role == Role::kUser ? 1 : 0;
    only_system_since_user_ = turn.role == Role::kUser;
    if (turn.text.empty()) return;
    if (!turns_.empty() && turns_.back().role == turn.role) {
      append(turns_.back().text, turn.text, kParagraph);
    } else {
      turns_.push_back(std::move(turn));
    }
  }

  std::vector<Message> finish() {
    std::vector<Message> messages;
    if (!system_.empty()) messages.push_back(to_message({Role::kSystem, std::move(system_)}));
    for (Turn& turn : turns_) messages.push_back(to_message(std::move(turn)));
    return messages;
  }

 private:
  static Message to_message(Turn turn) {
    return {.role = turn.role, .content = {TextBlock{.text = std::move(turn.text)}}};
  }

  std::string system_;
  std::vector<Turn> turns_;
  std::size_t users_ = 0;
  bool only_system_since_user_ = false;
};

Result<std::string> parse_system(const Fields& request) {
  const json::value* system = request.find("system");
  if (system == nullptr) return std::string();
  TRY(std::string text, parse_content(*system, "system", Role::kSystem));
  if (text.starts_with(kBillingPrefix)) return std::string();
  return text;
}

}  // namespace

Result<std::vector<Message>> parse_conversation(const Fields& request) {
  TRY(std::string system, parse_system(request));
  TRY(const json::value* value, request.require("messages"));
  const json::array* list = value->if_array();
  if (list == nullptr) {
    return std::unexpected(field_error("messages", "Input should be a valid list"));
  }
  Canonicalizer canonical(std::move(system));
  std::optional<Role> first;
  for (std::size_t i = 0; i < list->size(); ++i) {
    TRY(Turn turn, parse_turn((*list)[i], i, i + 1 == list->size()));
    if (!first && turn.role != Role::kSystem) first = turn.role;
    canonical.add(std::move(turn));
  }
  if (!first) return std::unexpected(field_error("messages", "at least one message is required"));
  if (*first != Role::kUser) {
    return std::unexpected(field_error("messages", "first message must use the \"user\" role"));
  }
  return canonical.finish();
}

}  // namespace onnxlocal::anthropic
