#include "api/anthropic/request.h"

#include <fmt/format.h>

#include <utility>

#include "api/anthropic/conversation.h"
#include "api/anthropic/tools.h"
#include "api/fields.h"
#include "base/json.h"
#include "base/json_text.h"

namespace onnxlocal::anthropic {

namespace {

/// A client that sends `thread` may send only its new messages next time: to ignore the field would
/// lose the history without a sign. This code makes the SDKs resend everything.
constexpr std::string_view kThreadCode = "thread_unsupported_request";
constexpr std::string_view kInterleavedBeta = "interleaved-thinking-";
constexpr std::string_view kThinkingCountBeta = "thinking-token-count-";

Result<std::optional<std::uint32_t>> parse_tokens_max(const Fields& request, RequestKind kind) {
  if (kind == RequestKind::kCountTokens) return std::optional<std::uint32_t>();
  TRY_VOID(request.require("max_tokens"));
  return request.whole_number("max_tokens", 1);
}

/// What is sound by itself and makes no sense together.
Result<void> check_together(GenerationRequest& request) {
  const bool must_call = request.tool_choice.mode == ToolChoice::Mode::kAny ||
                         request.tool_choice.mode == ToolChoice::Mode::kNamed;
  if (must_call && request.thinking.mode == ThinkingOptions::Mode::kEnabled) {
    return std::unexpected(
        field_error("thinking", "Thinking may not be enabled when tool_choice forces tool use."));
  }
  if (must_call && request.thinking.mode == ThinkingOptions::Mode::kAdaptive) {
    request.thinking.mode = ThinkingOptions::Mode::kDisabled;
  }
  const bool has_prefill = request.messages.back().role == Role::kAssistant;
  if (has_prefill && request.output_format.kind != OutputFormat::Kind::kText) {
    return std::unexpected(
        field_error("output_config.format",
                    "a trailing assistant message cannot be continued in an output format"));
  }
  return {};
}

Result<MessagesRequest> parse_fields(const Fields& request, json::TextView body, RequestKind kind,
                                     const DecodeOptions& options) {
  MessagesRequest parsed;
  GenerationRequest& generation = parsed.generation;
  TRY(const std::string_view model, request.require_text("model"));
  if (model.empty()) {
    return std::unexpected(field_error("model", "String should have at least 1 character"));
  }
  parsed.model = model;
  generation.model = model;
  TRY(const auto tokens_max, parse_tokens_max(request, kind));
  generation.tokens_max = tokens_max.value_or(1);
  TRY_VOID(check_unsupported(request));
  TRY(ToolList tools, ToolList::parse(request, body));
  TRY(Conversation conversation, parse_conversation(request, body, tools, options.read_pdf));
  generation.messages = std::move(conversation.messages);
  generation.cache_breakpoints = std::move(conversation.cache_breakpoints);
  TRY(generation.tool_choice, parse_tool_choice(request, tools));
  generation.tools = tools.callable();
  TRY_VOID(parse_sampling(request, generation.sampling));
  TRY(generation.stop_strings, parse_stop_sequences(request));
  const bool is_interleaved = options.betas.find(kInterleavedBeta) != std::string_view::npos;
  TRY(const Thinking thinking, parse_thinking(request, tokens_max, is_interleaved));
  generation.thinking = thinking.options;
  TRY(generation.output_format, parse_output_format(request, body));
  TRY(generation.agent, parse_agent(request));
  TRY(const auto stream, request.boolean("stream"));
  parsed.stream = stream.value_or(false);
  TRY_VOID(check_together(generation));
  parsed.style.thinking_display = thinking.display;
  parsed.style.counts_thinking = options.betas.find(kThinkingCountBeta) != std::string_view::npos;
  if (!generation.cache_breakpoints.empty()) {
    parsed.style.cache_ttl = generation.cache_breakpoints.back().ttl;
  }
  return parsed;
}

}  // namespace

std::expected<MessagesRequest, RequestError> parse_messages_request(std::string_view body,
                                                                    RequestKind kind,
                                                                    const DecodeOptions& options) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  if (request.find("thread") != nullptr) {
    return std::unexpected(
        RequestError(field_error("thread",
                                 "message threads are not supported by this server: send the whole "
                                 "conversation instead"),
                     std::string(kThreadCode)));
  }
  TRY(MessagesRequest parsed, parse_fields(request, json::TextView(body), kind, options));
  return parsed;
}

}  // namespace onnxlocal::anthropic
