#pragma once

#include "attention/cache_walk.h"

namespace onnxlocal::ep {

/// Queries, keys, values and probabilities as bf16. `Dot` is a set's arithmetic:
///   Floats                 its sixteen floats (rows/floats_*.h)
///   Line                   sixteen pairs of bf16, as 64 bytes of a page hold them
///   line, pair             a line from memory; one pair for all sixteen places
///   even_half, odd_half    a line with zero in place of each pair's other number
///   dot(sum, a, b)         sum + both products of each pair, in one order
///   round_32, interleave   floats to bf16
///   kScoreRows ...         what fits its registers
template <class Dot>
class Bf16Form {
  using F = typename Dot::Floats;
  using Line = typename Dot::Line;
  using Math = LocalMath<Dot>;
  static constexpr int kPage = static_cast<int>(kPageTokens);
  /// How near prefetched lines come. The first level has few places for lines on their way: into
  /// it decoding reads 11 GB/s, into the second 20 (one Zen 4 core).
  static constexpr int kSecondLevel = 2;
  /// Numbers from a row to the next: constants, so that each row's address is a displacement.
  static constexpr std::size_t kQueryStride = kHeadDimMax;
  static constexpr std::size_t kWeightStride = kSplitTokens;

 public:
  static constexpr std::size_t kQueryBytes = kQueryStride * sizeof(std::uint16_t);
  static constexpr std::size_t kWeightsBytes = kWeightStride * sizeof(std::uint16_t);
  static constexpr bool kZeroTimesNanIsNan = true;
  static constexpr std::size_t kScoreRows = Dot::kScoreRows;
  static constexpr std::size_t kValueRows = Dot::kValueRows;
  static constexpr std::size_t kValueVectors = Dot::kValueVectors;
  static constexpr std::size_t values_offset(std::size_t head_dim) {
    return kPageTokens * head_dim * sizeof(std::uint16_t);
  }

  static void round(const float* from, std::size_t n, std::uint16_t* to) {
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32) Dot::round_32(F::load(from + i), F::load(from + i + 16), to + i);
    if (i == n) return;
    std::uint16_t both[32];
    Dot::round_32(F::load(from + i), F::all(0), both);
    for (std::size_t j = 0; j < 16; ++j) to[i + j] = both[j];
  }
  static void prepare_query(const float* from, std::size_t head_dim, std::byte* to) {
    round(from, head_dim, reinterpret_cast<std::uint16_t*>(to));
  }

  static void append(const AppendTask& task) {
    for (std::uint32_t i = 0; i < task.tokens; ++i) append_key(task, i);
    std::uint32_t i = 0;
    while (i < task.tokens) {
      const bool pair = (task.first_slot + i) % 2 == 0 && i + 1 < task.tokens;
      if (pair) {
        append_value_pair(task, i);
      } else {
        append_value(task, i);
      }
      i += pair ? 2 : 1;
    }
  }

  template <std::size_t kRows>
  static void page_scores(const ScoreTask& task) {
    constexpr std::size_t kVectors = Dot::kScoreVectors;
    const std::size_t pairs = task.head_dim / 2;
    const auto* const q = reinterpret_cast<const std::uint16_t*>(task.q);
    for (std::size_t group = 0; group < 2; group += kVectors) {
      const std::byte* keys = task.tile + group * pairs * 64;
      const std::byte* next = task.next + group * pairs * 64;
      F sums[kRows][kVectors];
      clear(sums);
      for (std::size_t i = 0; i < pairs; ++i) {
        Line lines[kVectors];
        for (std::size_t v = 0; v < kVectors; ++v) {
          lines[v] = Dot::line(keys + (v * pairs + i) * 64);
          __builtin_prefetch(next + (v * pairs + i) * 64, 0, kSecondLevel);
        }
        for (std::size_t r = 0; r < kRows; ++r) {
          const Line a = Dot::pair(q + r * kQueryStride + 2 * i);
          for (std::size_t v = 0; v < kVectors; ++v) {
            sums[r][v] = Dot::dot(sums[r][v], a, lines[v]);
          }
        }
      }
      for (std::size_t r = 0; r < kRows; ++r) {
        for (std::size_t v = 0; v < kVectors; ++v) {
          sums[r][v].store(task.scores + r * kSplitTokens + (group + v) * 16);
        }
      }
    }
  }

  static void weigh(const TileSoftmax<Dot>& softmax, const WeighTask& task) {
    const KeyRange vectors = TileSoftmax<Dot>::vectors_of(task.keys);
    const TileScratch& scratch = *task.scratch;
    F sums[kTileRows];
    for (std::size_t row = 0; row < task.rows; ++row) {
      sums[row] = probabilities_of(softmax, vectors, scratch.scores + row * kSplitTokens,
                                   scratch.partial.maxima[row],
                                   weights_of(scratch.weights) + row * kWeightStride);
    }
    for (std::size_t row = 0; row < task.rows; ++row) scratch.partial.sums[row] = sums[row].sum();
  }

  template <std::size_t kRows, std::size_t kVectors>
  static void value_sums(const ValueTask& task, std::size_t column) {
    ValueSums<kRows, kVectors> block;
    clear(block.sums);
    const std::size_t line_bytes = 4 * task.head_dim;
    const std::size_t offset = values_offset(task.head_dim) + 4 * column;
    const auto* const all_probabilities = reinterpret_cast<const std::uint16_t*>(task.weights);
    const int page_end = (task.keys.last + kPage - 1) / kPage;
    for (int page = task.keys.first / kPage; page < page_end; ++page) {
      const std::byte* values = task.tiles[page] + offset;
      const std::byte* next =
          page + 1 < page_end ? task.tiles[page + 1] + offset : task.next + 4 * column;
      const int first = Math::most(task.keys.first - page * kPage, 0);
      const int last = Math::least(task.keys.last - page * kPage, kPage);
      const std::uint16_t* probabilities = all_probabilities + page * kPage;
      int pair = first / 2;
      const auto step = [&]<Half kHalf>() {
        const auto at = static_cast<std::size_t>(pair) * line_bytes;
        block.template add<kHalf>(probabilities + 2 * pair, values + at, next + at);
      };
      if (first % 2 != 0) {
        step.template operator()<Half::kOdd>();
        ++pair;
      }
      for (; pair < last / 2; ++pair) step.template operator()<Half::kBoth>();
      // The pair's other half may never have been written.
      if (last % 2 != 0) step.template operator()<Half::kEven>();
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        block.sums[r][v].store(task.out + r * task.head_dim + column + 16 * v);
      }
    }
  }

 private:
  static std::uint16_t* weights_of(std::byte* rows) {
    return reinterpret_cast<std::uint16_t*>(rows);
  }
  template <std::size_t kRows, std::size_t kVectors>
  static void clear(F (&sums)[kRows][kVectors]) {
    for (auto& row : sums) {
      for (F& sum : row) sum = F::all(0);
    }
  }

  static void append_key(const AppendTask& task, std::uint32_t token) {
    const std::size_t n = task.head_dim;
    const std::size_t slot = task.first_slot + token;
    std::uint16_t rounded[kHeadDimMax];
    round(task.keys + token * task.key_stride, n, rounded);
    std::byte* to = task.tile + slot / 16 * (n / 2) * 64 + slot % 16 * 4;
    for (std::size_t i = 0; i < n; i += 2, to += 64) __builtin_memcpy(to, rounded + i, 4);
  }
  static std::byte* value_pair(const AppendTask& task, std::uint32_t token) {
    const std::size_t pair = (task.first_slot + token) / 2;
    return task.tile + (kPageTokens + 2 * pair) * task.head_dim * 2;
  }
  static void append_value_pair(const AppendTask& task, std::uint32_t token) {
    const float* even = task.values + token * task.value_stride;
    const float* odd = even + task.value_stride;
    std::byte* to = value_pair(task, token);
    for (std::size_t i = 0; i < task.head_dim; i += 16) {
      Dot::interleave(F::load(even + i), F::load(odd + i), to + 4 * i);
    }
  }
  static void append_value(const AppendTask& task, std::uint32_t token) {
    std::uint16_t rounded[kHeadDimMax];
    round(task.values + token * task.value_stride, task.head_dim, rounded);
    std::byte* to = value_pair(task, token) + (task.first_slot + token) % 2 * 2;
    for (std::size_t i = 0; i < task.head_dim; ++i, to += 4) __builtin_memcpy(to, rounded + i, 2);
  }

  static F probabilities_of(const TileSoftmax<Dot>& softmax, KeyRange vectors, const float* scores,
                            float maximum, std::uint16_t* probabilities) {
    const F shift = F::all(-maximum);
    constexpr std::uint16_t kOnes[2] = {0x3f80, 0x3f80};
    const Line ones = Dot::pair(kOnes);
    F sum = F::all(0);
    for (int v = vectors.first; v < vectors.last; v += 2) {
      const F low = softmax.probability(scores + 16 * v, shift);
      const F high = softmax.probability(scores + 16 * v + 16, shift);
      // Rounded first: what values are weighted with is what is summed.
      sum = Dot::dot(sum, Dot::round_32(low, high, probabilities + 16 * v), ones);
    }
    return sum;
  }

  enum class Half : std::uint8_t { kBoth, kEven, kOdd };
  template <std::size_t kRows, std::size_t kVectors>
  struct ValueSums {
    F sums[kRows][kVectors];

    template <Half kHalf>
    [[gnu::always_inline]] void add(const std::uint16_t* probabilities, const std::byte* values,
                                    const std::byte* next) {
      Line lines[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) {
        lines[v] = Dot::line(values + 64 * v);
        if constexpr (kHalf == Half::kEven) lines[v] = Dot::even_half(lines[v]);
        if constexpr (kHalf == Half::kOdd) lines[v] = Dot::odd_half(lines[v]);
        __builtin_prefetch(next + 64 * v, 0, kSecondLevel);
      }
      for (std::size_t r = 0; r < kRows; ++r) {
        const Line a = Dot::pair(probabilities + r * kWeightStride);
        for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = Dot::dot(sums[r][v], a, lines[v]);
      }
    }
  };
};

}  // namespace onnxlocal::ep
