#pragma once

#include <cstdint>

#include "base/result.h"
#include "engine/engine.h"

namespace onnxlocal {

/// What a request gets, once it is found sound.
struct Clamped {
  std::uint32_t tokens_max = 0;
  bool is_clamped = false;   ///< The context (or the byte budget) ends before what was asked for.
  std::size_t kv_bytes = 0;  ///< Most that its keys and values come to.
};

/// Checks a request against the decoder's limits. Any thread; no state.
///   errors: invalid_request (names the field), prompt_too_long
Result<void> check_request(const SequenceRequest& request, const DecoderLimits& limits,
                           bool has_tokenizer);

/// Fits a sound request into the byte budget, and into `shared_tokens_max` where all slots share
/// one memory. Any thread; no state.
///   errors: overloaded (it would never fit)
Result<Clamped> clamp_request(const SequenceRequest& request, const DecoderLimits& limits,
                              const EngineOptions& options, std::uint64_t shared_tokens_max);

}  // namespace onnxlocal
