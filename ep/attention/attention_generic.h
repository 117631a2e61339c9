#pragma once

// The inner loops of attention, once for all instruction sets. `Dot` is a set's arithmetic:
//   Floats                 its sixteen floats (rows/floats_*.h)
//   Line                   sixteen pairs of bf16, as 64 bytes of a page hold them
//   line, pair             a line from memory; one pair for all sixteen places
//   even_half, odd_half    a line with zero in place of each pair's other number
//   dot(sum, a, b)         sum + both products of each pair, in one order
//   round_32, interleave   floats to bf16
//   kScoreRows ...         what fits its registers
//
// What makes results independent of how work is cut: each score and each output element is one
// chain of `dot` in the order of dimensions or keys, which no blocking changes, and a key that a
// row does not see adds an exact zero to it or is left out.

#include <array>
#include <bit>
#include <utility>

#include "attention/attention_kernels.h"
#include "attention/softmax_generic.h"
#include "rows/elementary.h"

namespace onnxlocal::ep {

/// The table's functions for one `Dot`.
template <class Dot>
class GenericAttention {
  using F = typename Dot::Floats;
  using Line = typename Dot::Line;

 public:
  static constexpr AttentionKernels kernels(InstructionSet set) {
    return {.set = set,
            .round = round,
            .widen_f16 = widen_f16,
            .widen_bf16 = widen_bf16,
            .append = append,
            .attend_split = attend_split,
            .merge = merge,
            .finish = finish};
  }

 private:
  using Softmax = TileSoftmax<Dot>;
  using Keys = typename Softmax::Keys;
  static constexpr int kPage = static_cast<int>(kPageTokens);
  /// How near prefetched lines come. The first level has few places for lines on their way: into
  /// it decoding reads 11 GB/s, into the second 20 (one Zen 4 core).
  static constexpr int kSecondLevel = 2;

  // Not the standard library's: an inline function that all files share could be kept in the form
  // of the fastest set.
  template <class T>
  static T least(T a, T b) {
    return b < a ? b : a;
  }
  template <class T>
  static T most(T a, T b) {
    return a < b ? b : a;
  }
  static void copy(const float* from, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
  }
  template <std::size_t kRows, std::size_t kVectors>
  static void clear(F (&sums)[kRows][kVectors]) {
    for (auto& row : sums) {
      for (F& sum : row) sum = F::all(0);
    }
  }

  static void round(const float* from, std::size_t n, std::uint16_t* to) {
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32) Dot::round_32(F::load(from + i), F::load(from + i + 16), to + i);
    if (i == n) return;
    std::uint16_t both[32];
    Dot::round_32(F::load(from + i), F::all(0), both);
    for (std::size_t j = 0; j < 16; ++j) to[i + j] = both[j];
  }
  static void widen_f16(const std::uint16_t* from, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; i += 16) Dot::load_f16(from + i).store(to + i);
  }
  static void widen_bf16(const std::uint16_t* from, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; ++i) {
      to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i]) << 16U);
    }
  }

  // Packing.

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

  // Scores: kRows query rows times the keys of a page, kScoreVectors groups of 16 keys at a time.

  struct ScoreTask {
    const std::uint16_t* q;
    const std::byte* keys;
    const std::byte* next;
    std::size_t pairs;
    float* scores;
  };

  template <std::size_t kRows>
  static void page_scores(const ScoreTask& task) {
    constexpr std::size_t kVectors = Dot::kScoreVectors;
    for (std::size_t group = 0; group < 2; group += kVectors) {
      const std::byte* keys = task.keys + group * task.pairs * 64;
      const std::byte* next = task.next + group * task.pairs * 64;
      F sums[kRows][kVectors];
      clear(sums);
      for (std::size_t i = 0; i < task.pairs; ++i) {
        Line lines[kVectors];
        for (std::size_t v = 0; v < kVectors; ++v) {
          lines[v] = Dot::line(keys + (v * task.pairs + i) * 64);
          __builtin_prefetch(next + (v * task.pairs + i) * 64, 0, kSecondLevel);
        }
        for (std::size_t r = 0; r < kRows; ++r) {
          const Line a = Dot::pair(task.q + r * kQueryStride + 2 * i);
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

  // Values: kRows rows of probabilities times kVectors * 16 dimensions.

  struct ValueTask {
    const std::uint16_t* probabilities;
    const std::byte* const* tiles;
    const std::byte* next;
    std::size_t head_dim;
    Keys keys;
    float* out;
  };
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
        const Line a = Dot::pair(probabilities + r * kSplitTokens);
        for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = Dot::dot(sums[r][v], a, lines[v]);
      }
    }
  };

  template <std::size_t kRows, std::size_t kVectors>
  static void value_sums(const ValueTask& task, std::size_t column) {
    ValueSums<kRows, kVectors> block;
    clear(block.sums);
    const std::size_t line_bytes = 4 * task.head_dim;
    const std::size_t offset = (kPageTokens * task.head_dim + 2 * column) * 2;
    const int page_end = (task.keys.last + kPage - 1) / kPage;
    for (int page = task.keys.first / kPage; page < page_end; ++page) {
      const std::byte* values = task.tiles[page] + offset;
      const std::byte* next =
          page + 1 < page_end ? task.tiles[page + 1] + offset : task.next + 4 * column;
      const int first = most(task.keys.first - page * kPage, 0);
      const int last = least(task.keys.last - page * kPage, kPage);
      const std::uint16_t* probabilities = task.probabilities + page * kPage;
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

  // One entry for each number of rows (and vectors), since registers have no index.

  template <std::size_t... kIndex>
  static constexpr auto score_table(std::index_sequence<kIndex...> /*rows*/) {
    return std::array{&page_scores<kIndex + 1>...};
  }
  static constexpr auto kPageScores = score_table(std::make_index_sequence<Dot::kScoreRows>());
  template <std::size_t... kIndex>
  static constexpr auto value_table(std::index_sequence<kIndex...> /*rows and vectors*/) {
    constexpr std::size_t kVectors = Dot::kValueVectors;
    return std::array{&value_sums<kIndex / kVectors + 1, kIndex % kVectors + 1>...};
  }
  static constexpr auto kValueSums =
      value_table(std::make_index_sequence<Dot::kValueRows * Dot::kValueVectors>());

  /// body(first, count) for rows in blocks of nearly equal size, at most `rows_max`.
  template <class Body>
  static void each_block(std::size_t rows, std::size_t rows_max, Body body) {
    const std::size_t blocks = (rows + rows_max - 1) / rows_max;
    const std::size_t size = (rows + blocks - 1) / blocks;
    for (std::size_t first = 0; first < rows; first += size) {
      body(first, least(size, rows - first));
    }
  }

  static void scores_of(const SplitTask& task, std::size_t first_row, std::size_t rows, Keys keys) {
    const std::size_t n = task.shape->head_dim;
    const int page_end = (keys.last + kPage - 1) / kPage;
    for (int page = keys.first / kPage; page < page_end; ++page) {
      const std::byte* tile = task.tiles[page];
      const std::byte* next = page + 1 < page_end
                                  ? task.tiles[page + 1]
                                  : task.tiles[keys.first / kPage] + kPageTokens * n * 2;
      each_block(rows, Dot::kScoreRows, [&](std::size_t row, std::size_t count) {
        kPageScores[count - 1]({.q = task.q + (first_row + row) * kQueryStride,
                                .keys = tile,
                                .next = next,
                                .pairs = n / 2,
                                .scores = task.scratch.scores + row * kSplitTokens + page * kPage});
      });
    }
  }

  static void values_of(const SplitTask& task, std::size_t first_row, std::size_t rows, Keys keys,
                        float* out) {
    const std::size_t n = task.shape->head_dim;
    const int page_last = (keys.last - 1) / kPage;
    ValueTask values{.probabilities = nullptr,
                     .tiles = task.tiles,
                     .next = task.next != nullptr ? task.next : task.tiles[page_last],
                     .head_dim = n,
                     .keys = keys,
                     .out = nullptr};
    for (std::size_t column = 0; column < n; column += 16 * Dot::kValueVectors) {
      const std::size_t vectors = least<std::size_t>((n - column) / 16, Dot::kValueVectors);
      each_block(rows, Dot::kValueRows, [&](std::size_t row, std::size_t count) {
        values.probabilities = task.scratch.probabilities + (first_row + row) * kSplitTokens;
        values.out = out + row * n;
        kValueSums[(count - 1) * Dot::kValueVectors + vectors - 1](values, column);
      });
    }
  }

  // A tile of rows.

  static Keys keys_of(const SplitTask& task, std::size_t row) {
    const auto position =
        static_cast<int>(task.first_position + static_cast<std::uint32_t>(row) /
                                                   (task.shape->heads / task.shape->kv_heads));
    const int past_last = position + 1 - static_cast<int>(task.first_key);
    const int window = static_cast<int>(least(task.shape->window, 0x4000'0000U));
    return {.first = window == 0 ? 0 : most(0, past_last - window),
            .last = least(past_last, static_cast<int>(kSplitTokens))};
  }

  static bool all_finite(const float* from, std::size_t n) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      largest = most(largest, std::bit_cast<std::uint32_t>(from[i]) & 0x7fff'ffffU);
    }
    return largest < 0x7f80'0000U;
  }

  static void attend_tile(const SplitTask& task, const Softmax& softmax, std::size_t first_row,
                          std::size_t rows) {
    const std::size_t n = task.shape->head_dim;
    PartialRows results = task.results.from(first_row, n);
    PartialRows partial = task.scratch.partial;
    if (!task.merge) partial.out = results.out;
    Keys own[kTileRows] = {};
    for (std::size_t row = 0; row < rows; ++row) own[row] = keys_of(task, first_row + row);
    const Keys keys{.first = own[0].first, .last = own[rows - 1].last};
    if (keys.empty()) {
      for (std::size_t row = 0; !task.merge && row < rows; ++row) results.sums[row] = 0;
      return;
    }
    scores_of(task, first_row, rows, keys);
    bool same_keys = true;
    for (std::size_t row = 0; row < rows; ++row) {
      same_keys = same_keys && own[row].first == keys.first && own[row].last == keys.last;
    }
    softmax.apply(own, keys, rows, task.scratch);
    values_of(task, 0, rows, keys, partial.out);
    // Zero times a number that is not finite is not zero: then each row sees its own keys alone.
    if (!same_keys && !all_finite(partial.out, rows * n)) {
      for (std::size_t row = 0; row < rows; ++row) {
        if (!own[row].empty()) values_of(task, row, 1, own[row], partial.out + row * n);
      }
    }
    if (task.merge) {
      merge(results, partial, rows, n);
    } else {
      copy(partial.maxima, rows, results.maxima);
      copy(partial.sums, rows, results.sums);
    }
  }

  static void attend_split(const SplitTask& task) {
    const Softmax softmax(*task.shape);
    for (std::size_t row = 0; row < task.rows; row += kTileRows) {
      attend_tile(task, softmax, row, least<std::size_t>(kTileRows, task.rows - row));
    }
  }

  static void merge(const PartialRows& rows, const PartialRows& more, std::size_t count,
                    std::size_t head_dim) {
    for (std::size_t row = 0; row < count; row += 16) {
      merge_16(rows.from(row, head_dim), more.from(row, head_dim),
               least<std::size_t>(count - row, 16), head_dim);
    }
  }
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
        copy(added, head_dim, out);
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

  static void finish(const float* row, float sum, std::size_t head_dim, float* out) {
    // Not times 1 / sum: the mean of equal values is then that value.
    const F divisor = F::all(sum);
    for (std::size_t i = 0; i < head_dim; i += 16) (F::load(row + i) / divisor).store(out + i);
  }
};

}  // namespace onnxlocal::ep
