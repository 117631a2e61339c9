#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "attention/attention_kernels.h"
#include "attention/attention_plan.h"

namespace onnxlocal::ep {

/// The head's tiles of one split; those that nobody reads stay null.
using SplitTiles = const std::byte* [kSplitPages];

/// Pages of a split that keys [first, last) lie in.
struct PageRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

/// What a call of attention reads and writes.
struct AttentionOperands {
  const AttentionKernels& kernels;
  Parallel& parallel;
  const AttentionShape& shape;
  ConstRows q;
  Rows out;
  std::vector<std::byte>& scratch;
};

/// One call of attention. `Source` gives the packed keys and values:
///   pack_bytes()                                   memory that a task lends to find()
///   find(block, split, pages, tiles, pack)         fills tiles[pages.first .. pages.last)
///   next(block, split)                             the first tile of a split, for prefetching
template <class Source>
class AttentionRun {
 public:
  AttentionRun(const AttentionOperands& operands, const Source& source, AttentionPlan& plan)
      : op_(operands),
        source_(source),
        plan_(plan),
        over_(operands.kernels.over(operands.shape.kv_type)),
        group_(operands.shape.heads / operands.shape.kv_heads) {}

  void run() {
    plan_.finish(op_.parallel.threads());
    lay_out_scratch();
    const auto body = [this](std::size_t task) { execute(plan_.tasks()[task]); };
    const std::size_t tasks = plan_.tasks().size();
    // About 2 us: waking the others would take as long.
    constexpr std::uint64_t kProductsForOneThread = 100'000;
    if (plan_.cost() * op_.shape.head_dim < kProductsForOneThread) {
      for (std::size_t task = 0; task < tasks; ++task) body(task);
    } else {
      op_.parallel.run(tasks, body);
    }
  }

 private:
  /// What a running task needs, one for each thread.
  struct Place {
    std::byte* q;
    PartialRows results;
    TileScratch tile;
    std::byte* pack;
  };
  static constexpr std::size_t kLine = 64;
  static std::size_t whole_lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

  void lay_out_scratch() {
    const std::size_t n = op_.shape.head_dim;
    const std::size_t rows = plan_.rows_max();
    place_bytes_ = kLine;  // The flag that says it is taken.
    const auto take = [this](std::size_t bytes) {
      const std::size_t offset = place_bytes_;
      place_bytes_ += whole_lines(bytes);
      return offset;
    };
    q_ = take(rows * over_.query_bytes);
    results_ = take(rows * (n + 2) * sizeof(float));
    scores_ = take(sizeof(float) * kTileRows * kSplitTokens);
    weights_ = take(kTileRows * over_.weights_bytes);
    partial_ = take(kTileRows * (n + 2) * sizeof(float));
    pack_ = take(source_.pack_bytes());
    places_ = op_.parallel.threads();
    const std::size_t bytes =
        places_ * place_bytes_ + plan_.partial_floats() * sizeof(float) + kLine;
    if (op_.scratch.size() < bytes) op_.scratch.resize(bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(op_.scratch.data());
    base_ = op_.scratch.data() + (kLine - address % kLine) % kLine;
    partials_ = reinterpret_cast<float*>(base_ + places_ * place_bytes_);
    for (std::size_t i = 0; i < places_; ++i) taken(i).store(0, std::memory_order_relaxed);
  }

  std::atomic_ref<std::uint32_t> taken(std::size_t place) {
    return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(base_ + place * place_bytes_));
  }
  /// There are as many places as threads, so one is free.
  std::size_t take_place() {
    for (std::size_t i = 0;; i = (i + 1) % places_) {
      if (taken(i).exchange(1, std::memory_order_acquire) == 0) return i;
    }
  }
  static PartialRows rows_at(float* at, std::size_t rows, std::size_t n) {
    return {.out = at, .maxima = at + rows * n, .sums = at + rows * (n + 1)};
  }
  Place place_at(std::size_t index, std::size_t rows) const {
    std::byte* const base = base_ + index * place_bytes_;
    const std::size_t n = op_.shape.head_dim;
    const auto floats = [base](std::size_t at) { return reinterpret_cast<float*>(base + at); };
    return {.q = base + q_,
            .results = rows_at(floats(results_), rows, n),
            .tile = {.scores = floats(scores_),
                     .weights = base + weights_,
                     .partial = rows_at(floats(partial_), kTileRows, n)},
            .pack = base + pack_};
  }
  PartialRows partial_of(const RowBlock& block, std::uint32_t split) const {
    float* const at =
        partials_ + block.partials + (split - block.first_split) * plan_.floats_of_split(block);
    return rows_at(at, block.range.rows * group_, op_.shape.head_dim);
  }

  void execute(const BlockTask& task) {
    RowBlock& block = plan_.blocks()[task.block];
    const std::size_t index = take_place();
    const Place place = place_at(index, block.range.rows * group_);
    prepare_queries(block, place.q);
    for (std::uint32_t split = task.first_split; split < task.last_split; ++split) {
      attend_split(block, split, split + 1 < task.last_split, place);
    }
    if (block.tasks == 1) {
      finish(block, place.results);
    } else if (std::atomic_ref(block.done).fetch_add(1, std::memory_order_acq_rel) + 1 ==
               block.tasks) {
      merge_splits(block, place.results);
    }
    taken(index).store(0, std::memory_order_release);
  }

  void prepare_queries(const RowBlock& block, std::byte* q) const {
    const std::size_t n = op_.shape.head_dim;
    for (std::uint32_t token = 0; token < block.range.rows; ++token) {
      const float* from = op_.q.row(block.range.first_row + token) + block.kv_head * group_ * n;
      for (std::uint32_t head = 0; head < group_; ++head, q += over_.query_bytes) {
        over_.prepare_query(from + head * n, n, q);
      }
    }
  }

  void attend_split(const RowBlock& block, std::uint32_t split, bool more, const Place& place) {
    const std::uint32_t first_key = split * kSplitTokens;
    const std::uint32_t end = block.range.past + block.range.rows;
    const std::uint32_t seen = block.range.past + 1;
    const std::uint32_t window = op_.shape.window;
    const std::uint32_t begin = window != 0 && seen > window ? seen - window : 0;
    const PageRange pages{
        .first = begin > first_key ? (begin - first_key) / kPageTokens : 0,
        .last = (std::min(end - first_key, kSplitTokens) + kPageTokens - 1) / kPageTokens};
    SplitTiles tiles = {};
    source_.find(block, split, pages, tiles, place.pack);
    const bool whole = block.tasks == 1;
    over_.attend_split({.shape = &op_.shape,
                        .q = place.q,
                        .rows = block.range.rows * group_,
                        .first_position = block.range.past,
                        .first_key = first_key,
                        .tiles = tiles,
                        .next = more ? source_.next(block, split + 1) : nullptr,
                        .merge = whole && split != block.first_split,
                        .results = whole ? place.results : partial_of(block, split),
                        .scratch = place.tile});
  }

  void merge_splits(const RowBlock& block, const PartialRows& results) const {
    const std::size_t rows = block.range.rows * group_;
    std::fill_n(results.sums, rows, 0.0F);
    for (std::uint32_t i = 0; i < block.splits; ++i) {
      op_.kernels.merge(results, partial_of(block, block.first_split + i), rows,
                        op_.shape.head_dim);
    }
    finish(block, results);
  }

  void finish(const RowBlock& block, const PartialRows& results) const {
    const std::size_t n = op_.shape.head_dim;
    std::size_t row = 0;
    for (std::uint32_t token = 0; token < block.range.rows; ++token) {
      float* to = op_.out.row(block.range.first_row + token) + block.kv_head * group_ * n;
      for (std::uint32_t head = 0; head < group_; ++head, ++row) {
        op_.kernels.finish(results.out + row * n, results.sums[row], n, to + head * n);
      }
    }
  }

  const AttentionOperands op_;
  const Source& source_;
  AttentionPlan& plan_;
  const CacheKernels& over_;
  const std::uint32_t group_;
  std::byte* base_ = nullptr;
  float* partials_ = nullptr;
  std::size_t places_ = 0;
  std::size_t place_bytes_ = 0;
  std::size_t q_ = 0;
  std::size_t results_ = 0;
  std::size_t scores_ = 0;
  std::size_t weights_ = 0;
  std::size_t partial_ = 0;
  std::size_t pack_ = 0;
};

/// Attention of the rows of `sequences` (their first_row, rows and past) over what `source` gives.
template <class Source, class Sequence>
void attend_over(const Source& source, std::span<const Sequence> sequences,
                 const AttentionOperands& operands) {
  AttentionPlan plan(operands.shape);
  for (std::uint32_t i = 0; i < sequences.size(); ++i) {
    plan.add(i, {.first_row = sequences[i].first_row,
                 .rows = sequences[i].rows,
                 .past = sequences[i].past});
  }
  AttentionRun<Source>(operands, source, plan).run();
}

}  // namespace onnxlocal::ep
