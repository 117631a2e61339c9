#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace onnxlocal {

/// Which rows of the shared buffers trade places so that the wanted ones lie side by side.
///
/// A batch of single tokens is one contiguous view [first, first + wanted) of the rows, whatever
/// their order in it. Planning is pure; the decoder copies.
struct RowPlan {
  struct Swap {
    std::uint32_t outside = 0;  ///< A wanted row outside the window.
    std::uint32_t inside = 0;   ///< A row in the window that is not wanted.
    friend bool operator==(const Swap&, const Swap&) = default;
  };
  std::uint32_t first = 0;
  std::vector<Swap> swaps;
};

/// The window with the least to copy; the lowest where several are equal.
///   lengths: tokens that each row holds
///   wanted:  at least one row, distinct, each below lengths.size()
RowPlan plan_rows(std::span<const std::uint32_t> lengths, std::span<const std::uint32_t> wanted);

/// The lowest row that holds nothing: sequences gather at the low end, and few moves are needed.
std::optional<std::uint32_t> lowest_empty_row(std::span<const std::uint32_t> lengths);

}  // namespace onnxlocal
