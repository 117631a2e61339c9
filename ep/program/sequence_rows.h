#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "program/instruction.h"
#include "program/integers.h"

namespace onnxlocal::ep {

/// How a run's rows are cut into sequences: checked against everything they index.
struct SequenceBatch {
  std::vector<SequenceRows> sequences;  ///< `pages` is set when paged.
  std::vector<std::int32_t> positions;  ///< Of each row in its sequence.
  std::size_t total = 0;                ///< Not paged: total_sequence_length.
  std::uint32_t longest = 0;            ///< Tokens of the longest sequence, this run's included.
  std::vector<std::int32_t> narrowed;   ///< The page table, where it did not come as int32.
};

/// `page_count`: pages of the smallest cache. Errors: lengths that are negative or do not add up to
/// the rows; a page out of range; a table with too few pages.
std::optional<std::string> read_sequences(const Sequences& sequences, const SpaceRows& rows,
                                          const std::vector<Integers>& integers,
                                          std::size_t page_count, SequenceBatch& batch);

}  // namespace onnxlocal::ep
