#include "attention/attention_plan.h"

#include <algorithm>
#include <numeric>

#include "attention/attention_kernels.h"

namespace onnxlocal::ep {

namespace {

/// Query rows of a block, about: enough that a split's keys, once in the second-level cache, are
/// used several times from there; few enough that a short prompt has a block for each thread.
constexpr std::uint32_t kBlockRows = 48;
/// Tasks for each thread where blocks are cut: what evens out a thread that starts late.
constexpr std::uint64_t kTasksPerThread = 8;

/// Tokens of a block: so many that its query rows fill whole tiles.
std::uint32_t tokens_of_block(std::uint32_t group) {
  const std::uint32_t unit = kTileRows / std::gcd(kTileRows, group);
  return unit * std::max(1U, kBlockRows / (unit * group));
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionShape& shape)
    : kv_heads_(shape.kv_heads),
      group_(shape.heads / shape.kv_heads),
      head_dim_(shape.head_dim),
      window_(shape.window),
      block_tokens_(tokens_of_block(group_)) {}

void AttentionPlan::add(std::uint32_t sequence, const RowRange& range) {
  for (std::uint32_t first = 0; first < range.rows; first += block_tokens_) {
    RowBlock block;
    block.range = {.first_row = range.first_row + first,
                   .rows = std::min(block_tokens_, range.rows - first),
                   .past = range.past + first};
    block.sequence = sequence;
    for (block.kv_head = 0; block.kv_head < kv_heads_; ++block.kv_head) add_block(block);
  }
}

void AttentionPlan::add_block(RowBlock block) {
  const std::uint32_t seen = block.range.past + 1;  // By the first row.
  const std::uint32_t first_key = window_ != 0 && seen > window_ ? seen - window_ : 0;
  const std::uint32_t last_key = block.range.past + block.range.rows - 1;
  const std::uint32_t rows = block.range.rows * group_;
  block.first_split = first_key / kSplitTokens;
  block.splits = last_key / kSplitTokens + 1 - block.first_split;
  block.cost = static_cast<std::uint64_t>(rows) * (last_key + 1 - first_key);
  cost_ += block.cost;
  rows_max_ = std::max<std::size_t>(rows_max_, rows);
  blocks_.push_back(block);
}

void AttentionPlan::finish(unsigned threads) {
  const std::uint64_t share = std::max<std::uint64_t>(cost_ / (threads * kTasksPerThread), 1);
  for (std::uint32_t i = 0; i < blocks_.size(); ++i) {
    RowBlock& block = blocks_[i];
    const std::uint64_t wanted = threads == 1 ? 1 : (block.cost + share / 2) / share;
    const auto parts =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(wanted, 1, block.splits));
    const std::uint32_t size = (block.splits + parts - 1) / parts;
    block.tasks = (block.splits + size - 1) / size;
    if (block.tasks > 1) {
      block.partials = partial_floats_;
      partial_floats_ += block.splits * floats_of_split(block);
    }
    const std::uint32_t end = block.first_split + block.splits;
    for (std::uint32_t split = block.first_split; split < end; split += size) {
      const std::uint32_t last = std::min(split + size, end);
      tasks_.push_back({.block = i,
                        .first_split = split,
                        .last_split = last,
                        .cost = block.cost * (last - split) / block.splits});
    }
  }
  const auto costlier = [](const BlockTask& a, const BlockTask& b) { return a.cost > b.cost; };
  if (!std::ranges::is_sorted(tasks_, costlier)) std::ranges::sort(tasks_, costlier);
}

}  // namespace onnxlocal::ep
