#include "api/anthropic/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "api/anthropic/conversation.h"
#include "api/anthropic/tools.h"
#include "api/fields.h"
#include "base/json.h"

namespace onnxlocal::anthropic {

namespace {

/// A client that sends `thread` may send only its new messages next time: to ignore the field would
/// lose the history without a sign. This code makes the SDKs resend everything.
constexpr std::string_view kThreadCode = "thread_unsupported_request";
constexpr std::string_view kWhitespace = " \t\r\n\f\v";

std::uint32_t saturate(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

Result<void> parse_sampling(const Fields& request, SamplingOptions& sampling) {
  TRY(const auto temperature, request.number("temperature", 0, 1));
  if (temperature) sampling.temperature = static_cast<float>(*temperature);
  TRY(const auto top_p, request.number("top_p", 0, 1));
  // 0 means the most likely token alone: so does the least positive share.
  if (top_p) {
    sampling.top_p = std::max(static_cast<float>(*top_p), std::numeric_limits<float>::min());
  }
  TRY(const auto top_k, request.whole_number("top_k", 0));
  if (top_k) sampling.top_k = saturate(*top_k);
  return {};
}

Result<std::vector<std::string>> parse_stop_sequences(const Fields& request) {
  std::vector<std::string> sequences;
  const json::value* value = request.find("stop_sequences");
  if (value == nullptr) return sequences;
  const json::array* list = value->if_array();
  if (list == nullptr) {
    return std::unexpected(field_error("stop_sequences", "Input should be a valid list"));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string path = fmt::format("stop_sequences.{}", i);
    const auto* text = (*list)[i].if_string();
    if (text == nullptr) {
      return std::unexpected(field_error(path, "Input should be a valid string"));
    }
    if (std::string_view(*text).find_first_not_of(kWhitespace) == std::string_view::npos) {
      return std::unexpected(
          field_error("stop_sequences", "each stop sequence must contain non-whitespace"));
    }
    sequences.emplace_back(*text);
  }
  return sequences;
}

/// An output format is a promise that the answer fits it; it is refused rather than broken.
Result<void> check_output_format(const Fields& request) {
  if (request.find("output_format") != nullptr) {
    return std::unexpected(
        field_error("output_format", "structured outputs are not supported by this server"));
  }
  const json::value* value = request.find("output_config");
  if (value == nullptr) return {};
  TRY(const Fields config, Fields::of(*value, "output_config"));
  if (config.find("format") == nullptr) return {};
  return std::unexpected(
      field_error("output_config.format", "structured outputs are not supported by this server"));
}

Result<MessagesRequest> parse_fields(const Fields& request, RequestKind kind) {
  MessagesRequest parsed;
  TRY(const std::string_view model, request.require_text("model"));
  if (model.empty()) {
    return std::unexpected(field_error("model", "String should have at least 1 character"));
  }
  parsed.model = model;
  parsed.generation.model = model;
  if (kind == RequestKind::kCreate) {
    TRY_VOID(request.require("max_tokens"));
    TRY(const auto tokens_max, request.whole_number("max_tokens", 1));
    parsed.generation.tokens_max = saturate(tokens_max.value_or(1));
  } else {
    parsed.generation.tokens_max = 1;
  }
  TRY(parsed.generation.messages, parse_conversation(request));
  TRY_VOID(parse_sampling(request, parsed.generation.sampling));
  TRY(parsed.generation.stop_strings, parse_stop_sequences(request));
  TRY(const auto stream, request.boolean("stream"));
  parsed.stream = stream.value_or(false);
  TRY_VOID(check_tools(request, parsed.notes));
  TRY_VOID(check_output_format(request));
  return parsed;
}

}  // namespace

std::expected<MessagesRequest, RequestError> parse_messages_request(std::string_view body,
                                                                    RequestKind kind) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  if (request.find("thread") != nullptr) {
    return std::unexpected(
        RequestError(field_error("thread",
                                 "message threads are not supported by this server: send the whole "
                                 "conversation instead"),
                     std::string(kThreadCode)));
  }
  TRY(MessagesRequest parsed, parse_fields(request, kind));
  return parsed;
}

}  // namespace onnxlocal::anthropic
