#include "engine/draft_budget.h"

#include <algorithm>
#include <cstddef>

namespace onnxlocal {
namespace {

/// A guess must be worth this many times what it costs, for chances are estimates.
constexpr double kWorth = 1.1;

}  // namespace

std::vector<std::uint32_t> allot_drafts(std::span<const DraftOffer> offers,
                                        const DraftBudget& budget, const StepCosts& costs) {
  std::vector<std::uint32_t> drafts(offers.size(), 0);
  std::vector<double> chances(offers.size(), 1);  ///< That all drafts so far are right.
  std::uint32_t rows = budget.decode_rows + budget.prefill_rows;
  // A prompt token is worth what its row costs: guesses take time from it, too.
  const double prefill_worth = rows == 0 ? 0 : (costs.rows(rows) - costs.rows(budget.decode_rows));
  double tokens = budget.decode_rows + prefill_worth;
  double cost = costs.rows(rows);
  std::uint32_t rounds = 0;
  for (std::uint32_t drafted = 0; drafted < budget.draft_rows_max; ++drafted) {
    std::size_t best = offers.size();
    double best_gain = 0;
    for (std::size_t i = 0; i < offers.size(); ++i) {
      const double gain = chances[i] * offers[i].acceptance;
      if (drafts[i] == offers[i].tokens_max || gain <= best_gain) continue;
      best = i;
      best_gain = gain;
    }
    if (best == offers.size()) break;
    const bool is_new_round = drafts[best] == rounds;
    const double price =
        costs.rows(rows + 1) - costs.rows(rows) + (is_new_round ? budget.round_cost : 0.0);
    if (best_gain * cost < kWorth * price * tokens) break;
    ++drafts[best];
    ++rows;
    rounds = std::max(rounds, drafts[best]);
    chances[best] = best_gain;
    tokens += best_gain;
    cost += price;
  }
  return drafts;
}

}  // namespace onnxlocal
