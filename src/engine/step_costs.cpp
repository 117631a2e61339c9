#include "engine/step_costs.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace onnxlocal {
namespace {

struct Knot {
  double rows;
  double cost;
};
/// Measured with the paged decoder on two cores with AVX-512, weights of 4 bits.
constexpr std::array<Knot, 4> kTable{{{1, 1.0}, {4, 1.13}, {8, 1.65}, {16, 2.8}}};

constexpr double kScaleMin = 0.3;
constexpr double kScaleMax = 30;
/// A step that took this many times what it should was held up by something else.
constexpr double kOutlier = 3;
constexpr std::uint32_t kOutliersMax = 4;  ///< So many in a row are how it is now.
constexpr double kFade = 0.98;
constexpr double kForget = 0.995;  ///< Per step without guesses.
constexpr std::uint32_t kPlainStepEvery = 128;
constexpr std::uint32_t kFirstPlainStep = 16;

/// The table, straight lines between knots and on behind the last.
double table_cost(double rows) {
  auto high = std::ranges::find_if(kTable, [&](const Knot& knot) { return rows <= knot.rows; });
  high = std::clamp(high, kTable.begin() + 1, kTable.end() - 1);
  const auto low = std::prev(high);
  return low->cost + (rows - low->rows) * (high->cost - low->cost) / (high->rows - low->rows);
}

double blend(double known, double measured) {
  return known == 0 ? measured : known + 0.1 * (measured - known);
}

}  // namespace

double StepCosts::rows(std::uint32_t count) const {
  const double scale = std::clamp(excess_by_table_ / table_squared_, kScaleMin, kScaleMax);
  return 1 + scale * (table_cost(std::max(count, 1U)) - 1);
}

double StepCosts::draft_round(double assumed) const {
  return row_seconds_ > 0 && round_seconds_ > 0 ? round_seconds_ / row_seconds_ : assumed;
}

void StepCosts::ran(std::uint32_t rows_ran, std::uint32_t drafted, double seconds) {
  if (drafted == 0) {
    const double one_row = seconds / rows(rows_ran);
    const bool is_outlier = row_seconds_ > 0 && one_row > kOutlier * row_seconds_;
    outliers_ = is_outlier ? outliers_ + 1 : 0;
    if (is_outlier && outliers_ < kOutliersMax) return;
    row_seconds_ = blend(row_seconds_, one_row);
    steps_since_plain_ = 0;
    excess_by_table_ = kForget * excess_by_table_ + (1 - kForget) * kBelief;
    table_squared_ = kForget * table_squared_ + (1 - kForget) * kBelief;
    return;
  }
  ++steps_since_plain_;
  if (row_seconds_ == 0) return;
  const double measured = seconds / row_seconds_ - 1;
  const double table = table_cost(rows_ran) - 1;
  if (measured > kScaleMax * table) return;
  excess_by_table_ = kFade * excess_by_table_ + measured * table;
  table_squared_ = kFade * table_squared_ + table * table;
}

void StepCosts::drafted(std::uint32_t rounds, double seconds) {
  if (rounds > 0) round_seconds_ = blend(round_seconds_, seconds / rounds);
}

bool StepCosts::wants_plain_step() const {
  return steps_since_plain_ >= (row_seconds_ == 0 ? kFirstPlainStep : kPlainStepEvery);
}

}  // namespace onnxlocal
