#include "runtime/slot_rows.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"

namespace onnxlocal {

RowPlan plan_rows(std::span<const std::uint32_t> lengths, std::span<const std::uint32_t> wanted) {
  CHECK(!wanted.empty() && wanted.size() <= lengths.size());
  std::vector<bool> is_wanted(lengths.size(), false);
  for (const std::uint32_t row : wanted) is_wanted[row] = true;

  // What a window costs: tokens of wanted rows outside it, and of unwanted rows in it.
  const auto cost_of = [&](std::size_t first) {
    std::uint64_t tokens = 0;
    for (std::size_t row = 0; row < lengths.size(); ++row) {
      const bool inside = row >= first && row < first + wanted.size();
      if (inside != is_wanted[row]) tokens += lengths[row];
    }
    return tokens;
  };
  const auto swaps_of = [&](std::size_t first) {
    RowPlan plan{.first = static_cast<std::uint32_t>(first), .swaps = {}};
    std::size_t inside = first;
    for (std::size_t row = 0; row < lengths.size(); ++row) {
      if (!is_wanted[row] || (row >= first && row < first + wanted.size())) continue;
      while (is_wanted[inside]) ++inside;
      plan.swaps.push_back({static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(inside++)});
    }
    return plan;
  };

  std::size_t best = 0;
  std::uint64_t best_cost = cost_of(0);
  for (std::size_t first = 1; first + wanted.size() <= lengths.size() && best_cost > 0; ++first) {
    const std::uint64_t cost = cost_of(first);
    if (cost < best_cost) {
      best = first;
      best_cost = cost;
    }
  }
  return swaps_of(best);
}

std::optional<std::uint32_t> lowest_empty_row(std::span<const std::uint32_t> lengths) {
  const auto found = std::ranges::find(lengths, 0U);
  if (found == lengths.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - lengths.begin());
}

}  // namespace onnxlocal
