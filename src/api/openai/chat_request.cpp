#include "api/openai/chat_request.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "api/openai/conversation.h"
#include "api/openai/tools.h"
#include "base/json.h"
#include "base/json_text.h"

namespace onnxlocal::openai {

namespace {

constexpr std::size_t kListMax = std::numeric_limits<std::size_t>::max();

Result<void> parse_call(const Fields& call, Conversation& conversation) {
  TRY(const std::string_view id, call.require_text("id"));
  TRY(const auto type, call.text("type"));
  if (type.value_or("function") != "function") {
    return std::unexpected(field_error(
        call.path_of("type"), fmt::format("calls of the type '{}' are not supported", *type)));
  }
  TRY(const Fields function, call.require_object("function"));
  TRY(const std::string_view name, function.require_text("name"));
  TRY(const auto arguments, function.text("arguments"));
  return conversation.add_call(id, name, arguments.value_or(""), function.path_of("arguments"));
}

Result<void> parse_assistant(const Fields& message, std::string_view text,
                             Conversation& conversation) {
  TRY(const auto reasoning, message.text("reasoning_content"));
  conversation.add_thinking(reasoning.value_or(""));
  TRY(const json::array* calls, message.list("tool_calls", kListMax));
  const bool has_calls = calls != nullptr && !calls->empty();
  if (!text.empty() || !has_calls) conversation.add_assistant(text);
  if (!has_calls) return {};
  for (std::size_t i = 0; i < calls->size(); ++i) {
    TRY(const Fields call,
        Fields::of((*calls)[i], fmt::format("{}.{}", message.path_of("tool_calls"), i)));
    TRY_VOID(parse_call(call, conversation));
  }
  return {};
}

Result<void> parse_message(const Fields& message, Conversation& conversation) {
  TRY(const std::string_view role, message.require_text("role"));
  const bool may_lack_content = role == "assistant";
  if (!may_lack_content) TRY_VOID(message.require("content"));
  TRY(const std::string text, parse_content(message.find("content"), message.path_of("content")));
  if (role == "system" || role == "developer") {
    conversation.add_system(text);
  } else if (role == "user") {
    conversation.add_user(text);
  } else if (role == "assistant") {
    TRY_VOID(parse_assistant(message, text, conversation));
  } else if (role == "tool") {
    TRY(const std::string_view id, message.require_text("tool_call_id"));
    conversation.add_call_result(id, text);
  } else {
    return std::unexpected(
        field_error(message.path_of("role"),
                    "Input should be 'system', 'developer', 'user', 'assistant' or 'tool'"));
  }
  return {};
}

Result<std::vector<Message>> parse_messages(const Fields& request) {
  TRY_VOID(request.require("messages"));
  TRY(const json::array* list, request.list("messages", kListMax));
  if (list->empty()) {
    return std::unexpected(field_error("messages", "at least one message is required"));
  }
  Conversation conversation;
  for (std::size_t i = 0; i < list->size(); ++i) {
    TRY(const Fields message, Fields::of((*list)[i], fmt::format("messages.{}", i)));
    TRY_VOID(parse_message(message, conversation));
  }
  return conversation.finish();
}

Result<void> parse_logprobs(const Fields& request, SamplingOptions& sampling) {
  TRY(const auto is_asked, request.boolean("logprobs"));
  TRY(const auto alternatives, parse_alternatives(request, "top_logprobs"));
  if (!is_asked.value_or(false)) {
    if (alternatives.value_or(0) == 0) return {};
    return std::unexpected(field_error("top_logprobs", "needs `logprobs` to be true"));
  }
  sampling.logprobs = alternatives.value_or(0);
  return {};
}

}  // namespace

Result<ChatRequest> parse_chat_request(std::string_view body) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  ChatRequest parsed;
  GenerationRequest& generation = parsed.generation;
  TRY_VOID(parse_sampling(request, generation));
  parsed.model = generation.model;
  TRY_VOID(refuse_fields(request, {"functions", "function_call", "audio", "web_search_options"}));
  TRY_VOID(check_count(request, "n"));
  TRY(generation.messages, parse_messages(request));
  TRY(generation.tokens_max, parse_tokens_max(request, {"max_completion_tokens", "max_tokens"}));
  TRY(generation.stop_strings, parse_stop(request));
  TRY(generation.thinking, parse_effort(request, "reasoning_effort"));
  TRY(parsed.stream, parse_stream(request));
  TRY_VOID(parse_logprobs(request, generation.sampling));
  const json::TextView text(body);
  TRY_VOID(parse_tools(request, text, ToolShape::kNested, generation));
  TRY(const auto format, request.object("response_format"));
  if (format) {
    TRY(generation.output_format,
        parse_output_format(*format, text.member("response_format").value_or(json::TextView("{}")),
                            ToolShape::kNested));
  }
  return parsed;
}

}  // namespace onnxlocal::openai
