#pragma once

#include "attention/cache_walk.h"
#include "cpu/unroll.h"

namespace onnxlocal::ep {

/// Keys and values as 8-bit numbers with a scale for each token; queries too; probabilities as
/// two 8-bit terms. Products are sums of integers, so they are exact in any order, and what is not
/// seen has weight zero whatever bytes lie there. A value's scale is part of its weight.
/// `Dot::Bytes` is a set's arithmetic:
///   Line, Quad, Sums       16 quads of bytes, as 64 bytes of a page; a quad in each of 16 places;
///                          16 sums
///   line, quad             from memory
///   start(total)           sums that begin; `total` of all numbers in the quads to come
///   add_dot(sums, a, b)    adds all four products of each quad of line a and quad b
///   floats(sums)           as floats
///   store(integers, to)    16 floats that are integers in [-128, 127], as bytes
///   kScoreRows ...         what fits its registers
template <class Dot>
class Int8Form {
  using F = typename Dot::Floats;
  using Bytes = typename Dot::Bytes;
  using Sums = typename Bytes::Sums;
  using Math = LocalMath<Dot>;
  using Softmax = TileSoftmax<Dot>;
  static constexpr int kPage = static_cast<int>(kPageTokens);
  static constexpr int kSecondLevel = 2;  ///< As in bf16_form.h.
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kKeyScales = 0;
  static constexpr std::size_t kValueScales = kPageTokens * sizeof(float);
  static constexpr std::size_t kKeys = 2 * kPageTokens * sizeof(float);
  static constexpr std::size_t kNumbersMax = kSplitTokens;
  static_assert(kHeadDimMax <= kNumbersMax);

  /// A row of numbers: terms[0] * scale, or (256 * terms[0] + terms[1]) * scale.
  template <std::size_t kTerms>
  struct alignas(kLine) Row {
    std::int8_t terms[kTerms][kNumbersMax];
    float scale;
    std::int32_t totals[kTerms];
  };
  using Query = Row<1>;
  using Weights = Row<2>;
  static constexpr float kTwoTermsMax = 127 * 256 + 127;
  /// Below, a scale's inverse would be infinite.
  static constexpr float kSmallest = 0x1p-100F;

 public:
  static constexpr std::size_t kQueryBytes = sizeof(Query);
  static constexpr std::size_t kWeightsBytes = sizeof(Weights);
  static constexpr bool kZeroTimesNanIsNan = false;
  static constexpr std::size_t kScoreRows = Bytes::kScoreRows;
  static constexpr std::size_t kValueRows = Bytes::kValueRows;
  static constexpr std::size_t kValueVectors = Bytes::kValueVectors;
  static constexpr std::size_t values_offset(std::size_t head_dim) {
    return kKeys + kPageTokens * head_dim;
  }

  static void prepare_query(const float* from, std::size_t head_dim, std::byte* to) {
    auto& query = *reinterpret_cast<Query*>(to);
    quantize(from, head_dim, &query.scale, query.terms[0]);
    query.totals[0] = 0;
    for (std::size_t i = 0; i < head_dim; ++i) query.totals[0] += query.terms[0][i];
  }

  static void append(const AppendTask& task) {
    const std::size_t n = task.head_dim;
    std::int8_t rounded[4][kHeadDimMax];
    for (std::uint32_t i = 0; i < task.tokens; ++i) {
      const std::size_t slot = task.first_slot + i;
      quantize(task.keys + i * task.key_stride, n, scale_at(task, kKeyScales, slot), rounded[0]);
      std::byte* to = task.tile + kKeys + slot / 16 * n * 16 + slot % 16 * 4;
      for (std::size_t j = 0; j < n; j += 4, to += kLine) __builtin_memcpy(to, rounded[0] + j, 4);
    }
    for (std::uint32_t i = 0; i < task.tokens;) {
      const std::size_t slot = task.first_slot + i;
      const std::uint32_t count = slot % 4 == 0 && i + 4 <= task.tokens ? 4 : 1;
      for (std::uint32_t j = 0; j < count; ++j) {
        quantize(task.values + (i + j) * task.value_stride, n,
                 scale_at(task, kValueScales, slot + j), rounded[j]);
      }
      std::byte* to = task.tile + values_offset(n) + slot / 4 * n * 4;
      for (std::size_t j = 0; j < n && count == 4; ++j, to += 4) {
        const std::int8_t quad[4] = {rounded[0][j], rounded[1][j], rounded[2][j], rounded[3][j]};
        __builtin_memcpy(to, quad, 4);
      }
      for (std::size_t j = 0; j < n && count == 1; ++j, to += 4) {
        to[slot % 4] = static_cast<std::byte>(rounded[0][j]);
      }
      i += count;
    }
  }

  template <std::size_t kRows>
  static void page_scores(const ScoreTask& task) {
    constexpr std::size_t kVectors = Bytes::kScoreVectors;
    const std::size_t quads = task.head_dim / 4;
    const auto* const q = reinterpret_cast<const Query*>(task.q);
    for (std::size_t i = 0; i < kKeys; i += kLine) {
      __builtin_prefetch(task.next + i, 0, kSecondLevel);
    }
    for (std::size_t group = 0; group < 2; group += kVectors) {
      const std::byte* keys = task.tile + kKeys + group * quads * kLine;
      const std::byte* next = task.next + kKeys + group * quads * kLine;
      TermSums<1, kRows, kVectors> sums(q);
      for (std::size_t i = 0; i < quads; ++i) {
        sums.add(4 * i, keys + i * kLine, next + i * kLine, quads * kLine);
      }
      sums.finish([&](std::size_t r, std::size_t v, const F& sum) ONNXLOCAL_INLINE {
        // In this order nothing overflows where the score does not.
        (sum * scales_at(task.tile, kKeyScales, group + v) * F::all(q[r].scale))
            .store(task.scores + r * kSplitTokens + (group + v) * 16);
      });
    }
  }

  static void weigh(const Softmax& softmax, const WeighTask& task) {
    const KeyRange vectors = Softmax::vectors_of(task.keys);
    const TileScratch& scratch = *task.scratch;
    auto* const weights = reinterpret_cast<Weights*>(scratch.weights);
    Weighing rows[kTileRows];
    for (std::size_t row = 0; row < task.rows; ++row) {
      rows[row] = weigh_row(softmax, task, row, vectors);
    }
    for (std::size_t row = 0; row < task.rows; ++row) {
      scratch.partial.sums[row] = rows[row].sum.sum();
      const float largest = rows[row].largest.largest() + rows[row].nan.sum();
      write_terms(scratch.scores + row * kSplitTokens, vectors, scale_of(largest, kTwoTermsMax),
                  weights[row]);
    }
  }

  template <std::size_t kRows, std::size_t kVectors>
  static void value_sums(const ValueTask& task, std::size_t column) {
    const std::size_t line_bytes = 4 * task.head_dim;
    const std::size_t offset = values_offset(task.head_dim) + 4 * column;
    const auto* const weights = reinterpret_cast<const Weights*>(task.weights);
    TermSums<2, kRows, kVectors> sums(weights);
    const int page_end = (task.keys.last + kPage - 1) / kPage;
    for (int page = task.keys.first / kPage; page < page_end; ++page) {
      const std::byte* values = task.tiles[page] + offset;
      const std::byte* next =
          page + 1 < page_end ? task.tiles[page + 1] + offset : task.next + 4 * column;
      const auto first = static_cast<std::size_t>(page * kPage);
      for (std::size_t quad = 0; quad < kPageTokens / 4; ++quad) {
        const std::size_t at = quad * line_bytes;
        sums.add(first + 4 * quad, values + at, next + at, kLine);
      }
    }
    sums.finish([&](std::size_t r, std::size_t v, const F& sum) ONNXLOCAL_INLINE {
      (sum * F::all(weights[r].scale)).store(task.out + r * task.head_dim + column + 16 * v);
    });
  }

 private:
  struct Scale {
    float scale;
    float inverse;  ///< 0 where the numbers become zeros.
  };
  static Scale scale_of(float largest, float steps) {
    if (!Math::is_finite(largest)) return {.scale = __builtin_nanf(""), .inverse = 0};
    if (largest < kSmallest) return {.scale = 0, .inverse = 0};
    return {.scale = largest / steps, .inverse = steps / largest};
  }
  static float* scale_at(const AppendTask& task, std::size_t scales, std::size_t slot) {
    return reinterpret_cast<float*>(task.tile + scales) + slot;
  }
  static F scales_at(const std::byte* tile, std::size_t scales, std::size_t vector) {
    return F::load(reinterpret_cast<const float*>(tile + scales) + 16 * vector);
  }

  /// A token's key or value: its bytes and its scale. A number that is not finite makes all NaN.
  static void quantize(const float* from, std::size_t n, float* scale, std::int8_t* to) {
    const Scale own = scale_of(Math::largest_magnitude(from, n), 127);
    *scale = own.scale;
    for (std::size_t i = 0; i < n; i += 16) {
      const F x = own.inverse == 0 ? F::all(0) : F::load(from + i) * F::all(own.inverse);
      Bytes::store(F::nearest(x), to + i);
    }
  }

  /// Numbers of `vectors`, divided by the scale and rounded.
  static void write_terms(const float* from, KeyRange vectors, Scale scale, Weights& to) {
    F high_total = F::all(0);
    F low_total = F::all(0);
    for (int v = vectors.first; v < vectors.last; ++v) {
      const F x = scale.inverse == 0 ? F::all(0) : F::load(from + 16 * v) * F::all(scale.inverse);
      const F n = F::nearest(x);
      // A little above the half, so that the low term is below 128.
      const F high = F::nearest(F::fused(n, F::all(0x1p-8F), F::all(0x1p-10F)));
      const F low = F::fused_from(high, F::all(256), n);
      Bytes::store(high, to.terms[0] + 16 * v);
      Bytes::store(low, to.terms[1] + 16 * v);
      high_total = high_total + high;
      low_total = low_total + low;
    }
    to.scale = scale.scale;
    to.totals[0] = static_cast<std::int32_t>(high_total.sum());
    to.totals[1] = static_cast<std::int32_t>(low_total.sum());
  }

  struct Weighing {
    F sum;
    F largest;
    F nan;  ///< Zeros, or NaN where a weight is.
  };
  /// Probabilities, each times its value's scale, in place of the scores.
  static Weighing weigh_row(const Softmax& softmax, const WeighTask& task, std::size_t row,
                            KeyRange vectors) {
    float* const scores = task.scratch->scores + row * kSplitTokens;
    const KeyRange own = task.own[row];
    const F shift = F::all(-task.scratch->partial.maxima[row]);
    Weighing weighing{.sum = F::all(0), .largest = F::all(0), .nan = F::all(0)};
    for (int v = vectors.first; v < vectors.last; ++v) {
      F p = softmax.probability(scores + 16 * v, shift);
      // What is hidden, or infinitely far, counts nothing.
      p = F::where_less(p, F::all(0x1p-126F), F::all(0), p);
      F weight = p * scales_at(task.tiles[v / 2], kValueScales, static_cast<std::size_t>(v % 2));
      if (own.first > 16 * v || own.last < 16 * v + 16) {
        weight = F::keep(weight, own.first - 16 * v, own.last - 16 * v, 0);
      }
      weight.store(scores + 16 * v);
      weighing.sum = weighing.sum + p;
      weighing.largest = F::larger(weighing.largest, weight);
      weighing.nan = F::fused(weight, F::all(0), weighing.nan);
    }
    return weighing;
  }

  /// Sums of products of rows and lines. Each index is a constant, so that the sums stay in
  /// registers.
  template <std::size_t kTerms, std::size_t kRows, std::size_t kVectors>
  class TermSums {
   public:
    ONNXLOCAL_INLINE explicit TermSums(const Row<kTerms>* rows) : rows_(rows) {
      each([&](auto r, auto v) ONNXLOCAL_INLINE {
        unroll<kTerms>([&](auto t)
                           ONNXLOCAL_INLINE { sums_[t][r][v] = Bytes::start(rows[r].totals[t]); });
      });
    }
    /// Numbers [at, at + 4) of each row times the lines, which lie `step` bytes apart.
    ONNXLOCAL_INLINE void add(std::size_t at, const std::byte* lines, const std::byte* next,
                              std::size_t step) {
      typename Bytes::Line line[kVectors];
      unroll<kVectors>([&](auto v) ONNXLOCAL_INLINE {
        line[v] = Bytes::line(lines + v * step);
        __builtin_prefetch(next + v * step, 0, kSecondLevel);
      });
      unroll<kRows>([&](auto r) ONNXLOCAL_INLINE {
        unroll<kTerms>([&](auto t) ONNXLOCAL_INLINE {
          const auto quad = Bytes::quad(rows_[r].terms[t] + at);
          unroll<kVectors>([&](auto v)
                               ONNXLOCAL_INLINE { Bytes::add_dot(sums_[t][r][v], line[v], quad); });
        });
      });
    }
    /// body(row, vector, sums), both terms in one rounding: 256 times the first is exact.
    template <class Body>
    ONNXLOCAL_INLINE void finish(Body body) const {
      each([&](auto r, auto v) ONNXLOCAL_INLINE {
        F sum = Bytes::floats(sums_[kTerms - 1][r][v]);
        if constexpr (kTerms == 2) sum = F::fused(Bytes::floats(sums_[0][r][v]), F::all(256), sum);
        body(r, v, sum);
      });
    }

   private:
    template <class Body>
    ONNXLOCAL_INLINE static void each(Body body) {
      unroll<kRows>([&](auto r) ONNXLOCAL_INLINE {
        unroll<kVectors>([&](auto v) ONNXLOCAL_INLINE { body(r, v); });
      });
    }

    const Row<kTerms>* rows_;
    Sums sums_[kTerms][kRows][kVectors];
  };
};

}  // namespace onnxlocal::ep
