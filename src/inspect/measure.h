#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "model/model_config.h"
#include "runtime/model_session.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

struct MeasureOptions {
  std::uint32_t prompt_tokens = 512;   ///< Prefill of this many, after `depth_tokens`.
  std::uint32_t generate_tokens = 64;  ///< Decode steps, after `depth_tokens`.
  std::uint32_t depth_tokens = 0;      ///< In every slot before anything is timed.
  std::uint32_t streams = 1;           ///< Slots that decode together.
  std::uint32_t repetitions = 3;       ///< Each figure is the median of so many.
};

struct Measurement {
  double load_ms = 0;               ///< Model and tokenizer, files in the page cache.
  double model_load_ms = 0;         ///< The model alone; the tokenizer loads beside it.
  double first_token_ms = 0;        ///< A 16-token prompt in an empty slot, to its first token.
  double prefill_tokens_per_s = 0;  ///< One prompt.
  double decode_tokens_per_s = 0;   ///< All streams together.
  /// Several streams, from their prompts to their last tokens: tokens read and generated.
  double total_tokens_per_s = 0;
  std::uint64_t resident_bytes = 0;  ///< Of this process, at the end.
  std::string execution_provider;
  std::vector<std::string> warnings;
};

/// Loads the model and measures it as `onnx-local bench` shows it: greedy choice, made-up tokens,
/// one warm-up. A first load that had to derive files (8-bit weights) is done again, for that is
/// not what a user waits for every day. Errors: invalid_request (it does not fit the context or the
/// slots), those of `load_decoder`, cancelled.
Result<Measurement> measure(const ModelFolder& folder, RuntimeOptions runtime,
                            const MeasureOptions& options, std::stop_token stop = {},
                            const ProgressSink& progress = {});

/// The same on a decoder that is there; `load_ms` and `resident_bytes` stay 0. All slots are
/// emptied.
Result<Measurement> measure_decoder(Decoder& decoder, const MeasureOptions& options,
                                    std::stop_token stop = {}, const ProgressSink& progress = {});

}  // namespace onnxlocal
