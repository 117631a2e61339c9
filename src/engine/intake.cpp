#include "engine/intake.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/utf8.h"
#include "engine/limits.h"
#include "engine/sampler.h"

namespace onnxlocal {
namespace {

Result<void> check_stop_strings(const SequenceRequest& request, bool has_tokenizer) {
  const auto& strings = request.stop_strings;
  if (!strings.empty() && !has_tokenizer) {
    return std::unexpected(invalid_request("stop_strings: this model has no tokenizer"));
  }
  if (strings.size() > kStopStringsMax) {
    return std::unexpected(invalid_request(fmt::format(
        "stop_strings: expected at most {}, found {}", kStopStringsMax, strings.size())));
  }
  for (const std::string& text : strings) {
    if (text.empty() || text.size() > kStopStringBytesMax) {
      return std::unexpected(
          invalid_request(fmt::format("stop_strings: expected 1 to {} bytes each, found {}",
                                      kStopStringBytesMax, text.size())));
    }
    if (!is_valid_utf8(text)) {
      return std::unexpected(invalid_request("stop_strings: expected well-formed UTF-8"));
    }
  }
  return {};
}

Result<void> check_tokens(std::span<const TokenId> prompt, std::uint32_t vocabulary_size) {
  if (prompt.empty()) {
    return std::unexpected(invalid_request("prompt: expected at least one token, found none"));
  }
  for (const TokenId token : prompt) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < vocabulary_size) continue;
    return std::unexpected(invalid_request(
        fmt::format("prompt: token {} is not one of the model's {}", token, vocabulary_size)));
  }
  return {};
}

}  // namespace

Result<void> check_request(const SequenceRequest& request, const DecoderLimits& limits,
                           bool has_tokenizer) {
  const std::size_t prompt = request.prompt.size();
  if (prompt > limits.slot_tokens_max) {
    return std::unexpected(prompt_too_long(prompt, limits.slot_tokens_max));
  }
  TRY_VOID(check_tokens(request.prompt, limits.vocabulary_size));
  if (request.tokens_max == 0) {
    return std::unexpected(invalid_request("tokens_max: expected at least 1, found 0"));
  }
  TRY_VOID(check_stop_strings(request, has_tokenizer));
  return validate_sampling(request.sampling, limits.vocabulary_size);
}

Result<Clamped> clamp_request(const SequenceRequest& request, const DecoderLimits& limits,
                              const EngineOptions& options, std::uint64_t shared_tokens_max) {
  const std::size_t prompt = request.prompt.size();
  const std::size_t token_bytes = limits.kv_bytes_per_token;
  std::uint64_t room_all = std::min<std::uint64_t>(limits.slot_tokens_max, shared_tokens_max);
  if (token_bytes > 0) {
    room_all = std::min<std::uint64_t>(room_all, options.kv_bytes_max / token_bytes);
  }
  if (prompt > room_all) {
    return std::unexpected(overloaded(
        fmt::format("a prompt of {} tokens needs {} bytes of keys and values, the budget is {}",
                    prompt, prompt * token_bytes, room_all * token_bytes),
        "raise the key/value budget, or shorten the prompt"));
  }
  // An answer's last token is not computed with: it needs no room.
  const auto room = static_cast<std::uint32_t>(room_all - prompt) + 1;
  Clamped clamped;
  clamped.is_clamped = request.tokens_max > room;
  clamped.tokens_max = std::min(request.tokens_max, room);
  clamped.kv_bytes = (prompt + clamped.tokens_max - 1) * token_bytes;
  return clamped;
}

}  // namespace onnxlocal
