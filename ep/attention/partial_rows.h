#pragma once

#include "attention/attention_kernels.h"
#include "attention/local_math.h"
#include "rows/elementary.h"

namespace onnxlocal::ep {

/// How results over some of a row's keys become those over all, once for all instruction sets.
template <class Dot>
class PartialMath {
  using F = typename Dot::Floats;
  using Math = LocalMath<Dot>;

 public:
  static void merge(const PartialRows& rows, const PartialRows& more, std::size_t count,
                    std::size_t head_dim) {
    for (std::size_t row = 0; row < count; row += 16) {
      merge_16(rows.from(row, head_dim), more.from(row, head_dim),
               Math::template least<std::size_t>(count - row, 16), head_dim);
    }
  }

  static void finish(const float* row, float sum, std::size_t head_dim, float* out) {
    // Not times 1 / sum: the mean of equal values is then that value.
    const F divisor = F::all(sum);
    for (std::size_t i = 0; i < head_dim; i += 16) (F::load(row + i) / divisor).store(out + i);
  }

 private:
  /// At most 16 rows: their factors take one vector.
  static void merge_16(const PartialRows& rows, const PartialRows& more, std::size_t count,
                       std::size_t head_dim) {
    const F old_maximum = F::load_first(rows.maxima, count);
    const F more_maximum = F::load_first(more.maxima, count);
    const F maximum = F::larger(old_maximum, more_maximum);
    const F old_factor = power_of_two(old_maximum - maximum);
    const F factor = power_of_two(more_maximum - maximum);
    const F sum = F::fused(F::load_first(rows.sums, count), old_factor,
                           F::load_first(more.sums, count) * factor);
    float old_factors[16];
    float factors[16];
    float maxima[16];
    float sums[16];
    old_factor.store(old_factors);
    factor.store(factors);
    maximum.store(maxima);
    sum.store(sums);
    for (std::size_t row = 0; row < count; ++row) {
      if (more.sums[row] == 0) continue;
      float* out = rows.out + row * head_dim;
      const float* added = more.out + row * head_dim;
      if (rows.sums[row] == 0) {
        Math::copy(added, head_dim, out);
        rows.maxima[row] = more.maxima[row];
        rows.sums[row] = more.sums[row];
        continue;
      }
      const F old_part = F::all(old_factors[row]);
      const F part = F::all(factors[row]);
      for (std::size_t i = 0; i < head_dim; i += 16) {
        F::fused(F::load(out + i), old_part, F::load(added + i) * part).store(out + i);
      }
      rows.maxima[row] = maxima[row];
      rows.sums[row] = sums[row];
    }
  }
};

}  // namespace onnxlocal::ep
