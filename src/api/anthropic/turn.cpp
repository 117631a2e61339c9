#include "api/anthropic/turn.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "api/anthropic/cache_control.h"
#include "api/anthropic/limits.h"
#include "api/anthropic/thinking_signature.h"

namespace onnxlocal::anthropic {

namespace {

constexpr std::string_view kParagraph = "\n\n";
/// Claude Code's own line about who pays; it differs between conversations that are else the same.
constexpr std::string_view kBillingPrefix = "x-anthropic-billing-header:";

/// Kinds that the Messages API has and a local model does not.
constexpr std::array<std::string_view, 7> kUnsupportedBlocks = {
    "server_tool_use", "mcp_tool_use",  "mcp_tool_listing", "container_upload",
    "compaction",      "browser_state", "fallback"};

Error refused_block(std::string_view path, std::string_view type) {
  if (type == "image") return image_error(path);
  const bool is_known = std::ranges::find(kUnsupportedBlocks, type) != kUnsupportedBlocks.end() ||
                        type.ends_with("_tool_result");
  if (is_known) {
    return field_error(path,
                       fmt::format("`{}` blocks are not supported by this server", shown(type)));
  }
  constexpr std::array<std::string_view, 9> kElsewhere = {
      "document",    "search_result",  "thinking",      "redacted_thinking", "tool_use",
      "tool_result", "tool_reference", "tool_addition", "tool_removal"};
  if (std::ranges::find(kElsewhere, type) != kElsewhere.end()) {
    return field_error(path, fmt::format("`{}` blocks cannot be here", type));
  }
  return field_error(
      path, fmt::format("Input tag '{}' found using 'type' does not match any of the expected "
                        "tags: 'text', 'thinking', 'redacted_thinking', 'tool_use', 'tool_result', "
                        "'document', 'search_result'",
                        shown(type)));
}

Result<Role> parse_role(const Fields& message) {
  TRY(const std::string_view role, message.require_text("role"));
  if (role == "user") return Role::kUser;
  if (role == "assistant") return Role::kAssistant;
  if (role == "system") return Role::kSystem;
  return std::unexpected(
      field_error(message.path_of("role"), "Input should be 'user', 'assistant' or 'system'"));
}

/// An assistant's blocks are what a model wrote in one go; others are separate paragraphs.
std::string_view separator_of(Role role) {
  return role == Role::kAssistant ? std::string_view() : kParagraph;
}

void append_text(Turn& turn, std::string_view text) {
  if (turn.role == Role::kSystem && text.starts_with(kBillingPrefix)) return;
  append_block(turn.content, TextBlock{std::string(text)}, separator_of(turn.role));
}

Result<std::string_view> parse_id(const Fields& block, std::string_view name) {
  TRY(const std::string_view id, block.require_text(name));
  if (is_name(id, kIdBytesMax)) return id;
  return std::unexpected(field_error(
      block.path_of(name),
      fmt::format("'{}' does not match ^[a-zA-Z0-9_-]{{1,{}}}$", shown(id), kIdBytesMax)));
}

/// What a message may lack: an assistant's turn may hold thinking alone, and a system message
/// settings alone.
bool may_be_empty(const Turn& turn, const json::value* content, bool is_last) {
  if (turn.role == Role::kUser) return false;
  return turn.role == Role::kSystem || is_last || content == nullptr || !content->is_string();
}

}  // namespace

void append_block(std::vector<ContentBlock>& content, ContentBlock block,
                  std::string_view separator) {
  if (auto* text = std::get_if<TextBlock>(&block)) {
    if (text->text.empty()) return;
    auto* before = content.empty() ? nullptr : std::get_if<TextBlock>(&content.back());
    if (before != nullptr) {
      before->text += separator;
      before->text += text->text;
      return;
    }
  }
  if (!std::holds_alternative<ToolResultBlock>(block)) {
    content.push_back(std::move(block));
    return;
  }
  const auto last_result = std::find_if(content.rbegin(), content.rend(), [](const auto& there) {
    return std::holds_alternative<ToolResultBlock>(there);
  });
  content.insert(last_result.base(), std::move(block));
}

Result<void> TurnParser::parse_tool_use(const Fields& block, json::TextView text, Turn& turn) {
  TRY(const std::string_view id, parse_id(block, "id"));
  TRY(const std::string_view name, block.require_text("name"));
  if (!is_name(name, kCalledNameBytesMax)) {
    return std::unexpected(field_error(block.path_of("name"),
                                       fmt::format("'{}' does not match ^[a-zA-Z0-9_-]{{1,{}}}$",
                                                   shown(name), kCalledNameBytesMax)));
  }
  TRY_VOID(block.require_object("input"));
  TRY_VOID(pairing_.add_use(id, name, block.path()));
  const auto input = text.member("input");
  append_block(turn.content,
               ToolUseBlock{.id = std::string(id),
                            .name = std::string(name),
                            .input = json::compact(input ? input->text() : "{}")},
               {});
  return {};
}

Result<std::string> TurnParser::parse_result_block(const Fields& block) {
  TRY_VOID(parse_cache_control(block));
  TRY(const std::string_view type, block.require_text("type"));
  if (type == "document") return parse_document(block, read_pdf_);
  if (type == "search_result") return parse_search_result(block);
  if (type == "tool_reference") {
    TRY(const std::string_view name, block.require_text("tool_name"));
    return tools_.load(shown(name));
  }
  if (type != "text") return std::unexpected(refused_block(block.path(), type));
  TRY(const std::string_view text, block.require_text("text"));
  return std::string(text);
}

Result<std::string> TurnParser::parse_result_content(const Fields& block) {
  const json::value* content = block.find("content");
  if (content == nullptr) return std::string();
  if (content->is_string()) return std::string(content->get_string());
  TRY(const json::array* parts, block.list("content", kBlocksMax));
  std::string text;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    TRY(const Fields part,
        Fields::of((*parts)[i], fmt::format("{}.{}", block.path_of("content"), i)));
    TRY(const std::string more, parse_result_block(part));
    if (!text.empty() && !more.empty()) text += kParagraph;
    text += more;
  }
  return text;
}

Result<void> TurnParser::parse_tool_result(const Fields& block, Turn& turn) {
  TRY(const std::string_view id, parse_id(block, "tool_use_id"));
  TRY(const auto is_error, block.boolean("is_error"));
  TRY(std::string name, pairing_.add_result(id, block.path()));
  TRY(std::string text, parse_result_content(block));
  append_block(turn.content,
               ToolResultBlock{.tool_use_id = std::string(id),
                               .name = std::move(name),
                               .text = std::move(text),
                               .is_error = is_error.value_or(false)},
               {});
  return {};
}

/// A system message that makes a declared tool available.
Result<void> TurnParser::parse_tool_addition(const Fields& block, Turn& turn) {
  TRY(const Fields tool, block.require_object("tool"));
  TRY(const std::string_view type, tool.require_text("type"));
  if (type != "tool_reference") return std::unexpected(refused_block(tool.path(), type));
  TRY(const std::string_view name, tool.require_text("name"));
  append_text(turn, tools_.load(shown(name)));
  return {};
}

Result<void> TurnParser::parse_assistant_block(const Fields& block, std::string_view type,
                                               json::TextView text, Turn& turn) {
  if (type == "redacted_thinking") return {};
  if (type == "tool_use") return parse_tool_use(block, text, turn);
  if (type != "thinking") return std::unexpected(refused_block(block.path(), type));
  TRY(const std::string_view shown_text, block.require_text("thinking"));
  TRY(const auto signature, block.text("signature"));
  std::string thought = text_of_signature(signature.value_or("")).value_or(std::string(shown_text));
  if (!thought.empty()) turn.content.emplace_back(ThinkingBlock{std::move(thought)});
  return {};
}

Result<void> TurnParser::parse_block(const Fields& block, json::TextView text, Turn& turn) {
  TRY(const auto ttl, parse_cache_control(block));
  turn.cache_ttl = std::max(turn.cache_ttl, ttl);
  turn.cache_controls += ttl ? 1 : 0;
  TRY(const std::string_view type, block.require_text("type"));
  if (type == "text") {
    TRY(const std::string_view written, block.require_text("text"));
    append_text(turn, written);
    return {};
  }
  if (turn.role == Role::kAssistant) return parse_assistant_block(block, type, text, turn);
  if (turn.role == Role::kSystem && type == "tool_addition") {
    return parse_tool_addition(block, turn);
  }
  if (turn.role == Role::kUser && type == "tool_result") return parse_tool_result(block, turn);
  if (turn.role == Role::kUser && type == "document") {
    TRY(const std::string document, parse_document(block, read_pdf_));
    append_text(turn, document);
    return {};
  }
  if (turn.role == Role::kUser && type == "search_result") {
    TRY(const std::string found, parse_search_result(block));
    append_text(turn, found);
    return {};
  }
  return std::unexpected(refused_block(block.path(), type));
}

Result<void> TurnParser::parse_content(const json::value& content,
                                       std::optional<json::TextView> text, const std::string& path,
                                       Turn& turn) {
  if (content.is_string()) {
    append_text(turn, content.get_string());
    return {};
  }
  const json::array* blocks = content.if_array();
  if (blocks == nullptr) {
    return std::unexpected(
        field_error(path, "Input should be a valid string or a list of content blocks"));
  }
  if (blocks->size() > kBlocksMax) {
    return std::unexpected(
        field_error(path, fmt::format("List should have at most {} items", kBlocksMax)));
  }
  // Only calls need the text as it was written.
  const auto slices =
      text && turn.role == Role::kAssistant ? text->elements() : std::vector<json::TextView>();
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    TRY(const Fields block, Fields::of((*blocks)[i], fmt::format("{}.{}", path, i)));
    TRY_VOID(parse_block(block, i < slices.size() ? slices[i] : json::TextView({}), turn));
  }
  return {};
}

Result<Turn> TurnParser::parse_message(const json::value& value, json::TextView text,
                                       std::size_t index, bool is_last) {
  TRY(const Fields message, Fields::of(value, fmt::format("messages.{}", index)));
  Turn turn;
  TRY(turn.role, parse_role(message));
  if (turn.role == Role::kAssistant) {
    TRY_VOID(pairing_.begin_assistant(index));
  } else {
    pairing_.begin_user();
  }
  const json::value* content = message.find("content");
  const bool has_settings = message.find("output_config") != nullptr;
  if (content == nullptr && (turn.role != Role::kSystem || !has_settings)) {
    TRY_VOID(message.require("content"));
  }
  if (content != nullptr) {
    TRY_VOID(parse_content(*content, text.member("content"), message.path_of("content"), turn));
  }
  if (turn.content.empty() && !may_be_empty(turn, content, is_last)) {
    return std::unexpected(field_error(message.path(),
                                       "all messages must have non-empty content except for the "
                                       "optional final assistant message"));
  }
  return turn;
}

Result<Turn> TurnParser::parse_system(const json::value& value) {
  Turn turn{.role = Role::kSystem, .content = {}, .cache_ttl = {}};
  TRY_VOID(parse_content(value, {}, "system", turn));
  return turn;
}

}  // namespace onnxlocal::anthropic
