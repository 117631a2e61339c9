#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "rows/rows.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// How a weight is made from its quant q (unsigned, `bits` wide) and its block's scale s:
enum class ZeroPoints : std::uint8_t {
  kSymmetric,  ///< s * (q - 2^(bits - 1))
  kInteger,    ///< s * (q - z), z an unsigned byte for each block
  kMinimum,    ///< s * q + m, m a number for each block (Q4_1; float zero points z: m = -s * z)
};

/// A packed matrix of `rows` outputs (MatMulNBits' N) and `columns` inputs (its K).
///
/// Layout, the same for all instruction sets: groups of 16 rows, the last filled up with zeros. A
/// group holds, one after the other: its quants, its scales, its zero points.
///   quants  [columns / 32][8 or 16 k-quads ...]: a block of 32 columns is 256 bytes for 4 bits:
///   byte
///           64 * j + 4 * lane + i has column 4 * j + i in its low nibble and 16 + 4 * j + i in its
///           high one, j in 0..3, i in 0..3, lane = row in the group; 512 bytes for 8 bits: byte
///           64 * j + 4 * lane + i is column 4 * j + i, j in 0..7.
///   scales  [blocks][16], f16 where every scale is one exactly (has_half_scales), else f32
///   zeros   kInteger: u8 [blocks][16]; kMinimum: as the scales, f16 where all are (has_half_scales
///           covers both)
/// Columns are filled up to a multiple of 32 with quants that stand for zero.
struct MatrixFormat {
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::uint8_t bits = 4;     ///< 4 or 8
  std::uint32_t block = 32;  ///< Columns that share a scale: 32, 64, 128 or 256.
  ZeroPoints zeros = ZeroPoints::kSymmetric;
  bool has_half_scales = true;

  static constexpr std::uint32_t kGroupRows = 16;
  std::size_t groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
  std::size_t blocks() const { return (columns + block - 1) / block; }
  std::size_t quants_bytes() const;  ///< Of a group; a multiple of 64, as the two below.
  std::size_t scales_bytes() const;
  std::size_t zeros_bytes() const;
  std::size_t group_bytes() const { return quants_bytes() + scales_bytes() + zeros_bytes(); }
  std::size_t packed_bytes() const { return groups() * group_bytes(); }
  bool operator==(const MatrixFormat&) const = default;
};

/// A matrix as MatMulNBits holds it (onnxruntime contrib operators): quants [rows][blocks][block *
/// bits / 8], low nibble first; scales [rows * blocks]; zero points none, or packed like the quants
/// ([rows][ceil(blocks * bits / 8)] bytes), or numbers of the scales' type [rows * blocks].
/// GatherBlockQuantized's tables (quants [rows][columns * bits / 8]) have the same bytes. Borrowed.
struct MatrixSource {
  enum class Number : std::uint8_t { kFloat32, kFloat16, kBfloat16 };
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::uint8_t bits = 4;
  std::uint32_t block = 32;
  std::span<const std::byte> quants;
  std::span<const std::byte> scales;
  Number scales_type = Number::kFloat32;
  std::span<const std::byte> integer_zeros;  ///< Empty where there are none.
  std::span<const std::byte> float_zeros;    ///< Of scales_type; empty where there are none.
};

/// Why the source cannot be packed (sizes that do not fit, bits, block); nothing where it can.
std::optional<std::string> check_source(const MatrixSource& source);

/// The format that keeps the source's values: reads all scales. REQUIRES: check_source passes.
MatrixFormat choose_format(const MatrixSource& source, Parallel& parallel);

/// Packs into `packed` (packed_bytes() long, 64-byte aligned). REQUIRES: check_source passes.
void pack_matrix(const MatrixSource& source, const MatrixFormat& format,
                 std::span<std::byte> packed, Parallel& parallel);

/// A packed matrix, borrowed.
struct PackedMatrix {
  MatrixFormat format;
  std::span<const std::byte> packed;
};

}  // namespace onnxlocal::ep
