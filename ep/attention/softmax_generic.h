#pragma once

#include "attention/attention_kernels.h"
#include "rows/elementary.h"

namespace onnxlocal::ep {

/// What turns a tile's scores into probabilities, once for all instruction sets and both forms of
/// values; bf16_form.h says what `Dot` is.
template <class Dot>
class TileSoftmax {
  using F = typename Dot::Floats;

 public:
  explicit TileSoftmax(const AttentionShape& shape) {
    constexpr float kLog2E = 1.4426950408889634F;
    factor_ = shape.softcap == 0 ? shape.scale * kLog2E : 1.0F;
    cap_ = shape.softcap * kLog2E;
    cap_factor_ = shape.softcap == 0 ? 0 : shape.scale / shape.softcap;
  }

  /// The vectors of 16 scores that a tile's keys lie in: whole pages.
  static KeyRange vectors_of(KeyRange keys) {
    constexpr int kPage = static_cast<int>(kPageTokens);
    return {.first = keys.first / kPage * 2, .last = (keys.last + kPage - 1) / kPage * 2};
  }

  /// Bends the scores; gives those that a row does not see a probability of zero; finds each row's
  /// maximum. The steps of all rows lie side by side, here and in what follows: each alone waits
  /// for its own results.
  void prepare(const KeyRange* own, KeyRange tile_keys, std::size_t rows,
               const TileScratch& scratch) const {
    const KeyRange vectors = vectors_of(tile_keys);
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
  }

  /// Probabilities of 16 scores; shift: the row's maximum, negated.
  F probability(const float* scores, F shift) const {
    return power_of_two(F::fused(F::load(scores), F::all(factor_), shift));
  }

 private:
  void bend(KeyRange vectors, float* scores) const {
    for (int v = vectors.first; v < vectors.last; ++v) {
      const F bent = hyperbolic_tangent(F::load(scores + 16 * v) * F::all(cap_factor_));
      (F::all(cap_) * bent).store(scores + 16 * v);
    }
  }
  static void mask(KeyRange keys, KeyRange vectors, float* scores) {
    if (keys.first <= 16 * vectors.first && keys.last >= 16 * vectors.last) return;
    for (int v = vectors.first; v < vectors.last; ++v) {
      if (keys.first <= 16 * v && keys.last >= 16 * v + 16) continue;
      F::keep(F::load(scores + 16 * v), keys.first - 16 * v, keys.last - 16 * v, -__builtin_inff())
          .store(scores + 16 * v);
    }
  }
  static F maximum_of(KeyRange vectors, const float* scores) {
    F even = F::load(scores + 16 * vectors.first);
    F odd = F::load(scores + 16 * vectors.first + 16);
    for (int v = vectors.first + 2; v < vectors.last; v += 2) {
      even = F::larger(even, F::load(scores + 16 * v));
      odd = F::larger(odd, F::load(scores + 16 * v + 16));
    }
    return F::larger(even, odd);
  }

  float factor_;      ///< From scores as they lie in scratch to powers of two.
  float cap_;         ///< The soft cap in powers of two, or 0.
  float cap_factor_;  ///< From products to the argument of tanh.
};

}  // namespace onnxlocal::ep
