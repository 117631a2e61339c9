#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "generation/token.h"

namespace onnxlocal {

/// How the next token is chosen from the logits. The defaults are plain sampling from the model's
/// distribution. Order of application: logit bias, penalties, temperature, top_k, top_p, min_p.
/// What is empty a provider takes from `SamplingDefaults`; the engine takes it as 1, 0 and 1.
struct SamplingOptions {
  /// [0, 2]; 0 takes the most likely token (lowest id on a tie).
  std::optional<float> temperature;
  std::optional<std::uint32_t> top_k;  ///< Keep the k most likely; 0 keeps all.
  std::optional<float> top_p;          ///< (0, 1]: keep the smallest set with this probability.
  float min_p = 0.0F;               ///< [0, 1]: drop what is less likely than this times the best.
  float repetition_penalty = 1.0F;  ///< > 0; CTRL (Keskar 2019): over prompt and output; 1 is off.
  float frequency_penalty = 0.0F;   ///< [-2, 2]; times the count in the output.
  float presence_penalty = 0.0F;    ///< [-2, 2]; once for tokens in the output.
  std::map<TokenId, float> logit_bias;  ///< Added to the logit, [-100, 100].
  std::optional<std::uint64_t> seed;    ///< Same seed and request: same tokens. Random if empty.
  /// Report the log-probability of each token and of this many alternatives (at most 20).
  std::optional<std::uint32_t> logprobs;
};

/// What a model is sampled with where a request leaves it open. Claude Code always does, and a
/// small model rambles at temperature 1: these are for models whose folder says nothing.
struct SamplingDefaults {
  float temperature = 0.3F;
  std::uint32_t top_k = 0;
  float top_p = 0.9F;
  friend bool operator==(const SamplingDefaults&, const SamplingDefaults&) = default;
};

}  // namespace onnxlocal
