#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "generation/token.h"
#include "runtime/decoder.h"

namespace onnxlocal {

/// A prompt and the answer to it, both given: the model computes every step of writing it, and what
/// it would have said instead does not count. So guesses are right as often as they would be for a
/// model that does write this.
struct RecordedText {
  std::vector<TokenId> prompt;  ///< At least one token.
  std::vector<TokenId> answer;  ///< At least two.
};

struct SpeculationMeasureOptions {
  /// Guesses are made so that each is right with this chance. Empty: prompt lookup guesses.
  std::optional<double> acceptance;
  std::uint32_t repetitions = 3;  ///< Speeds are the median of so many.
  bool measure_costs = true;      ///< As in `SpeculationOptions`.
};

struct SpeculationMeasurement {
  double decode_tokens_per_s = 0;        ///< With guesses; from the first token to the last.
  double plain_decode_tokens_per_s = 0;  ///< Without.
  std::uint64_t draft_tokens = 0;        ///< Of one repetition.
  std::uint64_t accepted_tokens = 0;
};

/// Writes the text with and without guesses by turns, through the engine's own steps: scheduler,
/// sampler (greedy) and what decides how far to guess. All slots are emptied.
/// Errors: unsupported (the decoder's steps are not ragged), invalid_request (the text does not fit
/// the context, or has no answer), cancelled, those of the decoder.
Result<SpeculationMeasurement> measure_speculation(Decoder& decoder, const RecordedText& text,
                                                   const SpeculationMeasureOptions& options,
                                                   std::stop_token stop = {},
                                                   const ProgressSink& progress = {});

/// Tokens spread over the vocabulary, the same in every run.
RecordedText made_up_text(std::uint32_t prompt_tokens, std::uint32_t answer_tokens,
                          std::uint32_t vocabulary_size);

}  // namespace onnxlocal
