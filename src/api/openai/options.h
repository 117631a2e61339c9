#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "api/fields.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// As many as the context has room for: the provider clamps it.
inline constexpr std::uint32_t kTokensUnlimited = std::numeric_limits<std::uint32_t>::max();

/// `model`, temperature, top_p, penalties, seed, logit_bias, and what other local servers have
/// besides (top_k, min_p, repetition_penalty): what all kinds of requests share.
/// Errors: invalid_request, naming the field.
Result<void> parse_sampling(const Fields& request, GenerationRequest& generation);

/// The first of these fields that is there; `kTokensUnlimited` where none is.
Result<std::uint32_t> parse_tokens_max(const Fields& request,
                                       std::initializer_list<std::string_view> names);

/// How many of the most likely tokens are told with each; at most 20. Errors: invalid_request.
Result<std::optional<std::uint32_t>> parse_alternatives(const Fields& request,
                                                        std::string_view name);

/// `stop`: one string or up to 16.
Result<std::vector<std::string>> parse_stop(const Fields& request);

/// `effort` of reasoning as a budget of thinking.
Result<ThinkingOptions> parse_effort(const Fields& fields, std::string_view name);

/// `stream`, and `stream_options.include_usage`.
struct StreamOptions {
  bool stream = false;
  bool include_usage = false;
};
Result<StreamOptions> parse_stream(const Fields& request);

/// Refuses what would change the answer and is not here. Errors: invalid_request, naming the field.
Result<void> refuse_fields(const Fields& request, std::initializer_list<std::string_view> names);
/// Refuses more than one answer to a request.
Result<void> check_count(const Fields& request, std::string_view name);

}  // namespace onnxlocal::openai
