#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/sampler.h"
#include "generation/token.h"
#include "runtime/decoder.h"

namespace onnxlocal {

/// A sequence that decodes, as a drafter sees it.
struct DraftSource {
  SlotId slot;
  std::span<const TokenId> tokens;  ///< Prompt and output so far.
  const Sampler* sampler = nullptr;
};

struct DraftRequest {
  DraftSource source;
  std::uint32_t tokens_max = 0;           ///< At least 1.
  std::vector<TokenId>* draft = nullptr;  ///< Empty before; gets up to `tokens_max` tokens.
};

/// Guesses of one kind are about as often right; how often is learned of each kind by itself.
inline constexpr std::uint32_t kDraftKinds = 3;

/// What a drafter could guess now.
struct DraftPrepared {
  std::uint32_t tokens_max = 0;  ///< 0: nothing.
  std::uint32_t kind = 0;        ///< Below `kDraftKinds`.
};

/// Guesses what a model will say next. A guess costs time at most: the model itself chooses every
/// token (see `Speculator`). Engine thread only.
class Drafter {
 public:
  virtual ~Drafter() = default;

  /// What it can guess now, at most `tokens_max` tokens. May do bounded work to get ready.
  virtual DraftPrepared prepare(const DraftSource& source, std::uint32_t tokens_max) = 0;
  /// Guesses for sequences that were prepared since their last token.
  virtual void draft(std::span<const DraftRequest> requests) = 0;
  /// The slot was emptied: the next sequence in it has nothing to do with the last.
  virtual void forget(SlotId slot) = 0;
  /// What the longest guess costs per token, as a part of the model's step; until it is measured.
  virtual double token_cost() const = 0;
};

/// Guesses from the text itself (prompt lookup, Saxena 2023): what followed the last time that the
/// last tokens stood there. For `slots` slots.
std::unique_ptr<Drafter> make_prompt_lookup(std::uint32_t slots);

/// Guesses with a smaller model of the same vocabulary, which draws with the sequence's own random
/// numbers: where both models are of one mind, so is the draw (Daliri et al. 2024).
/// Errors: invalid_request (another vocabulary, or fewer slots than the model that it helps).
Result<std::unique_ptr<Drafter>> make_draft_model(std::unique_ptr<Decoder> decoder,
                                                  const DecoderLimits& target);

}  // namespace onnxlocal
