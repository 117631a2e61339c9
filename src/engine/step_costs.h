#pragma once

#include <cstdint>

namespace onnxlocal {

/// What a step costs by its rows, as a multiple of a step with one row. A small table (decoding
/// reads all weights once, so the first rows more are nearly free) whose excess over 1 is scaled by
/// what was measured. Where nothing is measured for long, the table is believed again, so that
/// guesses that did not pay once get another chance. Knows no clock: durations are told. One
/// thread.
class StepCosts {
 public:
  /// A step with so many rows, over one with one row. At least 1.
  double rows(std::uint32_t count) const;
  /// One guessed token for all sequences together, by a drafter that costs `assumed` until
  /// measured.
  double draft_round(double assumed) const;

  /// A step without prefill took so long. `drafted`: rows of it that were guesses.
  void ran(std::uint32_t rows, std::uint32_t drafted, double seconds);
  void drafted(std::uint32_t rounds, double seconds);

  /// The time of one row is long ago: a step without guesses would tell it.
  bool wants_plain_step() const;

 private:
  /// How much the table counts: about as much as two steps of four rows.
  static constexpr double kBelief = 0.03;

  double row_seconds_ = 0;  ///< A step with one row; 0: not known yet.
  std::uint32_t steps_since_plain_ = 0;
  std::uint32_t outliers_ = 0;  ///< In a row.
  // Least squares of measured excess over the table's, old steps fading.
  double excess_by_table_ = kBelief;
  double table_squared_ = kBelief;
  double round_seconds_ = 0;
};

}  // namespace onnxlocal
