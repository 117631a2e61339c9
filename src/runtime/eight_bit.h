#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace onnxlocal {

/// Rows of 4-bit blocks as MatMulNBits has them: w = scale * (q - zero_point), two values to a
/// byte, the low half first.
struct FourBitBlocks {
  std::span<const std::uint8_t> packed;  ///< [blocks, block_size / 2]
  std::span<const float> scales;         ///< [blocks]
  std::span<const float> zero_points;    ///< [blocks]
};

/// The same with one byte to a value and integer zero points.
struct EightBitBlocks {
  std::span<std::uint8_t> values;       ///< [blocks, block_size]
  std::span<float> scales;              ///< [blocks]
  std::span<std::uint8_t> zero_points;  ///< [blocks]
};

/// Writes 4-bit blocks with float zero points as 8-bit blocks with integer ones.
///
/// A block has 16 levels with equal steps: with 8-bit scale `scale / k` each level is a whole
/// number of steps, whatever integer k is, so that only the zero point is rounded, to a multiple of
/// 1 / k. The k in [1, 17] (17 * 15 = 255) whose multiples come nearest is taken: the error of a
/// weight is about scale / 300 (plain 8-bit rounding of the range has scale / 34). Blocks that lie
/// too far from zero for that are rounded plainly over their range and zero.
///   REQUIRES: block_size even; spans of the sizes above
void widen_blocks(const FourBitBlocks& from, std::size_t block_size, const EightBitBlocks& to);

}  // namespace onnxlocal
