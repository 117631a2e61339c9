#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/step_costs.h"

namespace onnxlocal {

/// A sequence that could verify guesses in the next step.
struct DraftOffer {
  double acceptance = 0;         ///< The chance of each guessed token, given those before it.
  std::uint32_t tokens_max = 0;  ///< Guesses there are.
};

struct DraftBudget {
  std::uint32_t decode_rows = 0;   ///< Sequences that decode in the step, with guesses or without.
  std::uint32_t prefill_rows = 0;  ///< Prompt tokens that the step will hold besides.
  std::uint32_t draft_rows_max = 0;
  double round_cost = 0;  ///< Of making one guess for every sequence, in steps of one row.
};

/// How many guesses each offer gets: a token more as long as it makes generated tokens per time
/// more. The first rows are nearly free, so that one sequence may guess much and many may guess
/// little. A pure function.
std::vector<std::uint32_t> allot_drafts(std::span<const DraftOffer> offers,
                                        const DraftBudget& budget, const StepCosts& costs);

}  // namespace onnxlocal
