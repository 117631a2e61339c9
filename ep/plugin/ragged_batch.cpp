#include "plugin/ragged_batch.h"

namespace onnxlocal::ep {

namespace {

std::string check_sequence(const RaggedBatch& batch, std::size_t i, std::size_t positions) {
  const std::string name = "sequence " + std::to_string(i);
  const std::int64_t rows = std::int64_t{batch.starts[i + 1]} - batch.starts[i];
  if (rows < 0) {
    return name + " begins at row " + std::to_string(batch.starts[i]) + " and ends at row " +
           std::to_string(batch.starts[i + 1]);
  }
  if (batch.past[i] < 0) return name + " has a past of " + std::to_string(batch.past[i]);
  if (rows == 0) return {};
  const std::size_t tokens = static_cast<std::size_t>(batch.past[i] + rows);
  if (tokens > positions) {
    return name + " has " + std::to_string(tokens) + " tokens, and the rotary table " +
           std::to_string(positions) + " positions";
  }
  const std::size_t used = (tokens + batch.block_tokens - 1) / batch.block_tokens;
  if (used > batch.width) {
    return name + " has " + std::to_string(tokens) + " tokens, which " +
           std::to_string(batch.width) + " blocks of " + std::to_string(batch.block_tokens) +
           " cannot hold";
  }
  for (std::size_t block = 0; block < used; ++block) {
    const std::int32_t number = batch.blocks_of(i)[block];
    if (number < 0 || static_cast<std::size_t>(number) >= batch.blocks) {
      return name + " names block " + std::to_string(number) + " at place " +
             std::to_string(block) + "; the cache has " + std::to_string(batch.blocks);
    }
  }
  return {};
}

}  // namespace

RaggedBatch read_ragged_batch(const TensorView& starts, const TensorView& past,
                              const TensorView& table) {
  RaggedBatch batch;
  batch.starts = starts.values<std::int32_t>();
  batch.past = past.values<std::int32_t>();
  batch.table = table.values<std::int32_t>();
  batch.width = table.dims.empty() ? 0 : static_cast<std::size_t>(table.dims.back());
  return batch;
}

std::string check_ragged_batch(const RaggedBatch& batch, std::size_t rows, std::size_t positions) {
  if (batch.starts.size() != batch.past.size() + 1 ||
      batch.table.size() != batch.past.size() * batch.width) {
    return "there are " + std::to_string(batch.starts.size()) + " starts, " +
           std::to_string(batch.past.size()) + " past lengths and " +
           std::to_string(batch.table.size()) + " numbers in the table of blocks";
  }
  if (batch.starts.front() != 0 || batch.starts.back() < 0 ||
      static_cast<std::size_t>(batch.starts.back()) != rows) {
    return "the starts go from " + std::to_string(batch.starts.front()) + " to " +
           std::to_string(batch.starts.back()) + ", the rows are " + std::to_string(rows);
  }
  for (std::size_t i = 0; i < batch.sequences(); ++i) {
    if (std::string problem = check_sequence(batch, i, positions); !problem.empty()) {
      return problem;
    }
  }
  return {};
}

std::vector<std::uint32_t> row_positions(const RaggedBatch& batch) {
  std::vector<std::uint32_t> positions;
  positions.reserve(static_cast<std::size_t>(batch.starts.back()));
  for (std::size_t i = 0; i < batch.sequences(); ++i) {
    const auto first = static_cast<std::uint32_t>(batch.past[i]);
    for (std::uint32_t row = 0; row < batch.rows_of(i); ++row) positions.push_back(first + row);
  }
  return positions;
}

}  // namespace onnxlocal::ep
