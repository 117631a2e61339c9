#pragma once

// A split's keys and values against rows of queries, once for all instruction sets and both forms
// of keys and values. `Form` (bf16_form.h, int8_form.h) is the arithmetic over one form:
//   prepare_query, append       queries, keys and values in that form
//   values_offset(head_dim)     where a tile's values begin
//   page_scores<rows>           query rows times the keys of a page
//   weigh                       probabilities of a tile's rows
//   value_sums<rows, vectors>   rows of probabilities times vectors * 16 dimensions
//   kScoreRows ...              what fits its registers
//
// What makes results independent of how work is cut: each score and each output element is one
// chain in the order of dimensions or keys (or a sum of integers), which no blocking changes, and a
// key that a row does not see adds an exact zero to it or is left out.

#include <array>
#include <utility>

#include "attention/attention_kernels.h"
#include "attention/local_math.h"
#include "attention/partial_rows.h"
#include "attention/softmax_generic.h"

namespace onnxlocal::ep {

/// What a form's page_scores gets.
struct ScoreTask {
  const std::byte* q = nullptr;  ///< As prepare_query makes it.
  const std::byte* tile = nullptr;
  const std::byte* next = nullptr;  ///< Read after it: another tile, or this one's values.
  std::size_t head_dim = 0;
  float* scores = nullptr;
};

/// What a form's weigh gets: the rows' own keys, and all that the tile sees of the split.
struct WeighTask {
  const KeyRange* own = nullptr;
  KeyRange keys;
  std::size_t rows = 0;
  const std::byte* const* tiles = nullptr;
  const TileScratch* scratch = nullptr;
};

/// What a form's value_sums gets.
struct ValueTask {
  const std::byte* weights = nullptr;
  const std::byte* const* tiles = nullptr;
  const std::byte* next = nullptr;
  std::size_t head_dim = 0;
  KeyRange keys;
  float* out = nullptr;
};

/// Attention of a split's rows, tile by tile: scores, softmax, values, and the merge with what the
/// rows have seen before.
template <class Dot, class Form>
class CacheWalk {
  using Math = LocalMath<Dot>;
  using Softmax = TileSoftmax<Dot>;
  static constexpr int kPage = static_cast<int>(kPageTokens);

 public:
  static constexpr CacheKernels kernels() {
    return {.query_bytes = Form::kQueryBytes,
            .weights_bytes = Form::kWeightsBytes,
            .prepare_query = Form::prepare_query,
            .append = Form::append,
            .attend_split = attend_split};
  }

 private:
  // One entry for each number of rows (and vectors), since registers have no index.

  template <std::size_t... kIndex>
  static constexpr auto score_table(std::index_sequence<kIndex...> /*rows*/) {
    return std::array{&Form::template page_scores<kIndex + 1>...};
  }
  static constexpr auto kPageScores = score_table(std::make_index_sequence<Form::kScoreRows>());
  template <std::size_t... kIndex>
  static constexpr auto value_table(std::index_sequence<kIndex...> /*rows and vectors*/) {
    constexpr std::size_t kVectors = Form::kValueVectors;
    return std::array{&Form::template value_sums<kIndex / kVectors + 1, kIndex % kVectors + 1>...};
  }
  static constexpr auto kValueSums =
      value_table(std::make_index_sequence<Form::kValueRows * Form::kValueVectors>());

  /// body(first, count) for rows in blocks of nearly equal size, at most `rows_max`.
  template <class Body>
  static void each_block(std::size_t rows, std::size_t rows_max, Body body) {
    const std::size_t blocks = (rows + rows_max - 1) / rows_max;
    const std::size_t size = (rows + blocks - 1) / blocks;
    for (std::size_t first = 0; first < rows; first += size) {
      body(first, Math::least(size, rows - first));
    }
  }

  static void scores_of(const SplitTask& task, std::size_t first_row, std::size_t rows,
                        KeyRange keys) {
    const std::size_t n = task.shape->head_dim;
    const int page_end = (keys.last + kPage - 1) / kPage;
    for (int page = keys.first / kPage; page < page_end; ++page) {
      const std::byte* next = page + 1 < page_end
                                  ? task.tiles[page + 1]
                                  : task.tiles[keys.first / kPage] + Form::values_offset(n);
      each_block(rows, Form::kScoreRows, [&](std::size_t row, std::size_t count) {
        kPageScores[count - 1]({.q = task.q + (first_row + row) * Form::kQueryBytes,
                                .tile = task.tiles[page],
                                .next = next,
                                .head_dim = n,
                                .scores = task.scratch.scores + row * kSplitTokens + page * kPage});
      });
    }
  }

  static void values_of(const SplitTask& task, std::size_t first_row, std::size_t rows,
                        KeyRange keys, float* out) {
    const std::size_t n = task.shape->head_dim;
    const int page_last = (keys.last - 1) / kPage;
    ValueTask values{.weights = nullptr,
                     .tiles = task.tiles,
                     .next = task.next != nullptr ? task.next : task.tiles[page_last],
                     .head_dim = n,
                     .keys = keys,
                     .out = nullptr};
    for (std::size_t column = 0; column < n; column += 16 * Form::kValueVectors) {
      const std::size_t vectors =
          Math::template least<std::size_t>((n - column) / 16, Form::kValueVectors);
      each_block(rows, Form::kValueRows, [&](std::size_t row, std::size_t count) {
        values.weights = task.scratch.weights + (first_row + row) * Form::kWeightsBytes;
        values.out = out + row * n;
        kValueSums[(count - 1) * Form::kValueVectors + vectors - 1](values, column);
      });
    }
  }

  // A tile of rows.

  static KeyRange keys_of(const SplitTask& task, std::size_t row) {
    const auto position =
        static_cast<int>(task.first_position + static_cast<std::uint32_t>(row) /
                                                   (task.shape->heads / task.shape->kv_heads));
    const int past_last = position + 1 - static_cast<int>(task.first_key);
    const int window = static_cast<int>(Math::least(task.shape->window, 0x4000'0000U));
    return {.first = window == 0 ? 0 : Math::most(0, past_last - window),
            .last = Math::least(past_last, static_cast<int>(kSplitTokens))};
  }

  static void attend_tile(const SplitTask& task, const Softmax& softmax, std::size_t first_row,
                          std::size_t rows) {
    const std::size_t n = task.shape->head_dim;
    PartialRows results = task.results.from(first_row, n);
    PartialRows partial = task.scratch.partial;
    if (!task.merge) partial.out = results.out;
    KeyRange own[kTileRows] = {};
    for (std::size_t row = 0; row < rows; ++row) own[row] = keys_of(task, first_row + row);
    const KeyRange keys{.first = own[0].first, .last = own[rows - 1].last};
    if (keys.empty()) {
      for (std::size_t row = 0; !task.merge && row < rows; ++row) results.sums[row] = 0;
      return;
    }
    scores_of(task, first_row, rows, keys);
    softmax.prepare(own, keys, rows, task.scratch);
    Form::weigh(
        softmax,
        {.own = own, .keys = keys, .rows = rows, .tiles = task.tiles, .scratch = &task.scratch});
    values_of(task, 0, rows, keys, partial.out);
    if constexpr (Form::kZeroTimesNanIsNan) mend(task, own, keys, rows, partial.out);
    if (task.merge) {
      PartialMath<Dot>::merge(results, partial, rows, n);
    } else {
      Math::copy(partial.maxima, rows, results.maxima);
      Math::copy(partial.sums, rows, results.sums);
    }
  }

  /// Zero times a number that is not finite is not zero: then each row sees its own keys alone.
  static void mend(const SplitTask& task, const KeyRange* own, KeyRange keys, std::size_t rows,
                   float* out) {
    const std::size_t n = task.shape->head_dim;
    bool same_keys = true;
    for (std::size_t row = 0; row < rows; ++row) {
      same_keys = same_keys && own[row].first == keys.first && own[row].last == keys.last;
    }
    if (same_keys || Math::is_finite(Math::largest_magnitude(out, rows * n))) return;
    for (std::size_t row = 0; row < rows; ++row) {
      if (!own[row].empty()) values_of(task, row, 1, own[row], out + row * n);
    }
  }

  static void attend_split(const SplitTask& task) {
    const Softmax softmax(*task.shape);
    for (std::size_t row = 0; row < task.rows; row += kTileRows) {
      attend_tile(task, softmax, row,
                  Math::template least<std::size_t>(kTileRows, task.rows - row));
    }
  }
};

}  // namespace onnxlocal::ep
