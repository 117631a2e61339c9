#pragma once

#include "attention/attention_kernels.h"
#include "rows/elementary.h"

namespace onnxlocal::ep {

/// Turns a tile's scores into probabilities, once for all instruction sets; attention_generic.h
/// says what `Dot` is.
template <class Dot>
class TileSoftmax {
  using F = typename Dot::Floats;
  using Line = typename Dot::Line;

 public:
  /// Keys [first, last) of a split.
  struct Keys {
    int first;
    int last;
    bool empty() const { return first >= last; }
  };

  explicit TileSoftmax(const AttentionShape& shape) {
    constexpr float kLog2E = 1.4426950408889634F;
    factor_ = shape.softcap == 0 ? shape.scale * kLog2E : 1.0F;
    cap_ = shape.softcap * kLog2E;
    cap_factor_ = shape.softcap == 0 ? 0 : shape.scale / shape.softcap;
  }

  /// Probabilities of each row's own keys and of the others that the tile sees, which are zero;
  /// their maxima and sums. The steps of all rows lie side by side: each alone waits for its own
  /// results.
  void apply(const Keys* own, Keys tile_keys, std::size_t rows, const TileScratch& scratch) const {
    constexpr int kPage = static_cast<int>(kPageTokens);
    const Keys vectors{.first = tile_keys.first / kPage * 2,
                       .last = (tile_keys.last + kPage - 1) / kPage * 2};
    F partial[kTileRows];
    for (std::size_t row = 0; row < rows; ++row) {
      float* scores = scratch.scores + row * kSplitTokens;
      if (cap_ != 0) bend(vectors, scores);
      mask(own[row], vectors, scores);
      partial[row] = maximum_of(vectors, scores);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      const float maximum = partial[row].largest();
      // Where every score is -infinity, all probabilities are zero.
      scratch.partial.maxima[row] = maximum == -__builtin_inff() ? 0.0F : maximum * factor_;
    }
    for (std::size_t row = 0; row < rows; ++row) {
      partial[row] =
          probabilities_of(vectors, scratch.scores + row * kSplitTokens,
                           scratch.partial.maxima[row], scratch.probabilities + row * kSplitTokens);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      scratch.partial.sums[row] = partial[row].sum();
    }
  }

 private:
  void bend(Keys vectors, float* scores) const {
    for (int v = vectors.first; v < vectors.last; ++v) {
      const F bent = hyperbolic_tangent(F::load(scores + 16 * v) * F::all(cap_factor_));
      (F::all(cap_) * bent).store(scores + 16 * v);
    }
  }
  static void mask(Keys keys, Keys vectors, float* scores) {
    if (keys.first <= 16 * vectors.first && keys.last >= 16 * vectors.last) return;
    for (int v = vectors.first; v < vectors.last; ++v) {
      if (keys.first <= 16 * v && keys.last >= 16 * v + 16) continue;
      F::keep(F::load(scores + 16 * v), keys.first - 16 * v, keys.last - 16 * v, -__builtin_inff())
          .store(scores + 16 * v);
    }
  }
  static F maximum_of(Keys vectors, const float* scores) {
    F even = F::load(scores + 16 * vectors.first);
    F odd = F::load(scores + 16 * vectors.first + 16);
    for (int v = vectors.first + 2; v < vectors.last; v += 2) {
      even = F::larger(even, F::load(scores + 16 * v));
      odd = F::larger(odd, F::load(scores + 16 * v + 16));
    }
    return F::larger(even, odd);
  }
  F probabilities_of(Keys vectors, const float* scores, float maximum,
                     std::uint16_t* probabilities) const {
    const F factor = F::all(factor_);
    const F shift = F::all(-maximum);
    constexpr std::uint16_t kOnes[2] = {0x3f80, 0x3f80};
    const Line ones = Dot::pair(kOnes);
    F sum = F::all(0);
    for (int v = vectors.first; v < vectors.last; v += 2) {
      const F low = power_of_two(F::fused(F::load(scores + 16 * v), factor, shift));
      const F high = power_of_two(F::fused(F::load(scores + 16 * v + 16), factor, shift));
      // Rounded first: what values are weighted with is what is summed.
      sum = Dot::dot(sum, Dot::round_32(low, high, probabilities + 16 * v), ones);
    }
    return sum;
  }

  float factor_;      ///< From scores as they lie in scratch to powers of two.
  float cap_;         ///< The soft cap in powers of two, or 0.
  float cap_factor_;  ///< From products to the argument of tanh.
};

}  // namespace onnxlocal::ep
