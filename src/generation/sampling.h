#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "generation/token.h"

namespace onnxlocal {

/// How the next token is chosen from the logits. The defaults are plain sampling from the model's
/// distribution. Order of application: logit bias, penalties, temperature, top_k, top_p, min_p.
struct SamplingOptions {
  float temperature = 1.0F;       ///< [0, 2]; 0 takes the most likely token (lowest id on a tie).
  std::uint32_t top_k = 0;        ///< Keep the k most likely; 0 keeps all.
  float top_p = 1.0F;             ///< (0, 1]: keep the smallest set with this probability.
  float min_p = 0.0F;             ///< [0, 1]: drop what is less likely than this times the best.
  float repetition_penalty = 1.0F;  ///< > 0; CTRL (Keskar 2019): over prompt and output; 1 is off.
  float frequency_penalty = 0.0F;   ///< [-2, 2]; times the count in the output.
  float presence_penalty = 0.0F;    ///< [-2, 2]; once for tokens in the output.
  std::map<TokenId, float> logit_bias;  ///< Added to the logit, [-100, 100].
  std::optional<std::uint64_t> seed;    ///< Same seed and request: same tokens. Random if empty.
  /// Report the log-probability of each token and of this many alternatives (at most 20).
  std::optional<std::uint32_t> logprobs;
};

}  // namespace onnxlocal
