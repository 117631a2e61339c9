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

/// Checks a request against the decoder's and the engine's limits. Any thread; no state.
///   errors: invalid_request (names the field), prompt_too_long, overloaded (never fits the budget)
Result<Clamped> check_request(const SequenceRequest& request, const DecoderLimits& limits,
                              const EngineOptions& options, bool has_tokenizer);

}  // namespace onnxlocal
