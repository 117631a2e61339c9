#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugin/ort_api.h"

namespace onnxlocal::ep {

/// A batch of sequences whose rows lie one after the other, over a cache in blocks. Borrowed.
struct RaggedBatch {
  std::span<const std::int32_t>
      starts;                           ///< [sequences + 1]: first row of each; the last: all rows.
  std::span<const std::int32_t> past;   ///< [sequences]: tokens before the first row.
  std::span<const std::int32_t> table;  ///< [sequences][width]: the block of each run of tokens.
  std::size_t width = 0;
  std::size_t blocks = 0;  ///< That the cache has.
  std::size_t block_tokens = 0;

  std::size_t sequences() const { return past.size(); }
  std::uint32_t rows_of(std::size_t sequence) const {
    return static_cast<std::uint32_t>(starts[sequence + 1] - starts[sequence]);
  }
  const std::int32_t* blocks_of(std::size_t sequence) const {
    return table.data() + sequence * width;
  }
};

/// Puts the batch together from the node's inputs.
RaggedBatch read_ragged_batch(const TensorView& starts, const TensorView& past,
                              const TensorView& table);

/// Why the batch cannot be run: starts that do not rise from 0 to `rows`, a negative length, a
/// block that is none of the cache's, more tokens than the table has blocks for or than
/// `positions`. Empty where it can. What it reads of the table is what a run reads.
std::string check_ragged_batch(const RaggedBatch& batch, std::size_t rows, std::size_t positions);

/// For each row of the batch: its position in its sequence.
std::vector<std::uint32_t> row_positions(const RaggedBatch& batch);

}  // namespace onnxlocal::ep
