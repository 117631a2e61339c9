#include "api/openai/reply.h"

#include "api/openai/errors.h"

namespace onnxlocal::openai {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Null for part of a character: what its bytes were is not known.
json::value bytes_of(std::string_view text) {
  if (text.find(kReplacement) != std::string_view::npos) return nullptr;
  json::array bytes;
  for (const char byte : text) bytes.emplace_back(static_cast<unsigned char>(byte));
  return bytes;
}

json::object token_object(const TokenLogprob& token, const Detokenize& detokenize) {
  const std::string text = detokenize ? detokenize(std::span(&token.token, 1)) : std::string();
  return {{"token", text}, {"bytes", bytes_of(text)}, {"logprob", token.logprob}};
}

}  // namespace

ErrorReply ReplyEncoder::error_reply(const Error& error) const {
  return openai::error_reply(error);
}

std::string_view finish_reason(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfTurn:
    case StopReason::kStopString: return "stop";
    case StopReason::kTokensMax:
    case StopReason::kContextFull: return "length";
    case StopReason::kToolUse: return "tool_calls";
  }
  return "stop";
}

json::object usage_object(const Usage& usage) {
  return {
      {"prompt_tokens", usage.prompt_tokens()},
      {"completion_tokens", usage.output_tokens},
      {"total_tokens", usage.prompt_tokens() + usage.output_tokens},
      {"prompt_tokens_details", json::object{{"cached_tokens", usage.cache_read_tokens},
                                             {"cache_write_tokens", usage.cache_creation_tokens},
                                             {"audio_tokens", 0}}},
      {"completion_tokens_details", json::object{{"reasoning_tokens", usage.thinking_tokens},
                                                 {"audio_tokens", 0},
                                                 {"accepted_prediction_tokens", 0},
                                                 {"rejected_prediction_tokens", 0}}}};
}

std::string call_id(std::string_view id) {
  constexpr std::string_view kOurs = "toolu_";
  constexpr std::string_view kTheirs = "call_";
  if (!id.starts_with(kOurs)) return std::string(id);
  return std::string(kTheirs) + std::string(id.substr(kOurs.size()));
}

json::array logprobs_of(std::span<const TokenReport> reports, const Detokenize& detokenize) {
  json::array tokens;
  for (const TokenReport& report : reports) {
    json::object token = token_object(report.chosen, detokenize);
    json::array alternatives;
    for (const TokenLogprob& alternative : report.alternatives) {
      alternatives.push_back(token_object(alternative, detokenize));
    }
    token["top_logprobs"] = std::move(alternatives);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace onnxlocal::openai
