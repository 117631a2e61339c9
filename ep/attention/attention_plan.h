#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "attention/attention.h"

namespace onnxlocal::ep {

/// Where a sequence's rows are and what they see.
struct RowRange {
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint32_t past = 0;
};

/// Consecutive tokens of one sequence and one key/value head: they read its keys together.
struct RowBlock {
  RowRange range;  ///< Its tokens alone.
  std::uint32_t sequence = 0;
  std::uint32_t kv_head = 0;
  std::uint32_t first_split = 0;
  std::uint32_t splits = 0;
  std::uint32_t tasks = 0;   ///< That share its splits.
  std::uint32_t done = 0;    ///< Of them; counted up while they run. The last one merges.
  std::size_t partials = 0;  ///< Where its splits' results begin, in floats; where tasks > 1.
  std::uint64_t cost = 0;    ///< Products of a query row and a key.
};

struct BlockTask {
  std::uint32_t block = 0;
  std::uint32_t first_split = 0;
  std::uint32_t last_split = 0;  ///< Past the last.
  std::uint64_t cost = 0;
};

/// How a call's work is cut: it decides who computes what, never what is computed.
class AttentionPlan {
 public:
  explicit AttentionPlan(const AttentionShape& shape);
  void add(std::uint32_t sequence, const RowRange& range);
  /// Hands the blocks' splits out to tasks, the costly first.
  void finish(unsigned threads);

  std::vector<RowBlock>& blocks() { return blocks_; }
  const std::vector<BlockTask>& tasks() const { return tasks_; }
  std::uint64_t cost() const { return cost_; }
  std::size_t partial_floats() const { return partial_floats_; }
  /// Floats that one split's results of a block take.
  std::size_t floats_of_split(const RowBlock& block) const {
    return static_cast<std::size_t>(block.range.rows) * group_ * (head_dim_ + 2);
  }
  /// Query rows of the largest block.
  std::size_t rows_max() const { return rows_max_; }

 private:
  void add_block(RowBlock block);

  std::uint32_t kv_heads_;
  std::uint32_t group_;
  std::uint32_t head_dim_;
  std::uint32_t window_;
  std::uint32_t block_tokens_;
  std::vector<RowBlock> blocks_;
  std::vector<BlockTask> tasks_;
  std::uint64_t cost_ = 0;
  std::size_t partial_floats_ = 0;
  std::size_t rows_max_ = 0;
};

}  // namespace onnxlocal::ep
