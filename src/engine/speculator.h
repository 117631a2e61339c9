#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/acceptance.h"
#include "engine/drafter.h"
#include "engine/engine.h"
#include "engine/sequence.h"
#include "engine/step_costs.h"

namespace onnxlocal {

/// Decides which sequences guess how far, and learns from what came of it.
///
/// Guesses are verified by running them as if they were tokens, in one step, and letting the
/// sequence's sampler choose each token from its row in turn, with the random numbers of its place:
/// a guess is right where it is what the sampler chooses. So a sequence gets the very tokens that
/// it gets without guesses, whatever its options; a guess x is accepted with the probability p(x)
/// that speculative sampling (Leviathan et al. 2023) has for a certain guess. Engine thread only.
class Speculator {
 public:
  Speculator(std::unique_ptr<Drafter> drafter, const DecoderLimits& limits,
             const SpeculationOptions& options);

  /// Fills `draft` of the sequences that decode. `prefill_rows`: of the step that follows, at most.
  void propose(std::span<const std::unique_ptr<Sequence>> running, std::uint32_t prefill_rows);
  /// Of a sequence's draft the first `accepted` tokens were right.
  void verified(const Sequence& sequence, std::uint32_t accepted);
  /// A step without prefill ran, with so many rows of which `drafted` were guesses.
  void step_ran(std::uint32_t rows, std::uint32_t drafted, double seconds);
  void forget(SlotId slot);

  bool measures() const { return options_.measure_costs; }

 private:
  std::uint32_t draft_rows_max(std::uint32_t decode_rows, std::uint32_t prefill_rows) const;
  std::uint32_t useful_tokens(const Sequence& sequence) const;
  void make_drafts(std::span<const DraftRequest> requests);

  const std::unique_ptr<Drafter> drafter_;
  const DecoderLimits limits_;
  const SpeculationOptions options_;
  StepCosts costs_;
  /// What a sequence's guesses came to, by their kind, and which kind the last one was.
  struct Record {
    std::array<Acceptance, kDraftKinds> kinds;
    std::uint32_t kind = 0;
  };
  std::vector<Record> records_;  ///< By slot.
};

}  // namespace onnxlocal
