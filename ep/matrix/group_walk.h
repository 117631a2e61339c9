#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/unroll.h"
#include "matrix/matrix_product.h"
#include "matrix/row_tiles.h"

namespace onnxlocal::ep {

// What the kernels of all instruction sets share: the walk over groups and tiles. A template over a
// type that each file keeps to itself, so that every file compiles its own.

/// One group of 16 rows of a packed matrix.
struct GroupView {
  const std::byte* quants;
  const std::byte* scales;
  const std::byte* zeros;
};

/// What stays the same for all groups of a product.
struct ProductShape {
  std::size_t blocks;        ///< Of 32 columns.
  std::size_t terms;         ///< Of the activations: records for each block.
  std::size_t quants_bytes;  ///< Of a group, as the next.
  std::size_t scales_bytes;
  unsigned scale_shift;  ///< A block of 32 has the scale block >> scale_shift.
  bool has_half_scales;
};

/// Where a tile's results go: `rows` rows of `columns` (at most 16) floats.
struct TileOutput {
  float* out;
  std::size_t stride;
  std::size_t rows;
  std::size_t columns;
  const float* bias;
};

/// The stream of weights some way ahead of a group: from `first` to `end`, then from `next` on;
/// nothing where next is null. A block of the group fetches `step` bytes of it.
struct ReadAhead {
  const std::byte* first;
  const std::byte* end;
  const std::byte* next;
  std::size_t step;
};

/// How far ahead weights are fetched.
inline constexpr std::size_t kReadAheadBytes = 16384;

/// Fetches a block's share of what lies ahead, into the second-level cache: the first level has too
/// few places for misses to keep the memory busy.
ONNXLOCAL_INLINE inline void fetch_ahead(const ReadAhead& ahead, std::size_t block) {
  constexpr int kSecondLevel = 2;
  const std::byte* at = ahead.first + block * ahead.step;
  if (at >= ahead.end) {
    if (ahead.next == nullptr) return;
    at = ahead.next + (at - ahead.end);
  }
  for (std::size_t line = 0; line < ahead.step; line += 64) {
    __builtin_prefetch(at + line, 0, kSecondLevel);
  }
}

/// One call of a kernel: a group times a tile of rows.
struct TileTask {
  const ProductShape& shape;
  GroupView group;
  ReadAhead ahead;
  const std::byte* rows;
  TileOutput output;
};

template <class Set, int kBits, ZeroPoints kZeros>
void multiply_tile(const TileTask& task, std::size_t height) {
  switch (height) {
    case 1: return Set::template tile<kBits, kZeros, 1>(task);
    case 2: return Set::template tile<kBits, kZeros, 2>(task);
    case 3: return Set::template tile<kBits, kZeros, 3>(task);
    case 4: return Set::template tile<kBits, kZeros, 4>(task);
    case 6: return Set::template tile<kBits, kZeros, 6>(task);
    case 8: return Set::template tile<kBits, kZeros, 8>(task);
    case 12: return Set::template tile<kBits, kZeros, 12>(task);
    default: return Set::template tile<kBits, kZeros, 16>(task);
  }
}

template <class Set, int kBits, ZeroPoints kZeros>
void walk_groups(const PackedMatrix& matrix, const QuantizedRows& x, std::size_t first,
                 std::size_t last, const ProductOutput& output) {
  const MatrixFormat& format = matrix.format;
  const std::size_t blocks = (std::size_t{format.columns} + kBlockColumns - 1) / kBlockColumns;
  const std::size_t group_bytes = format.group_bytes();
  const ProductShape shape{.blocks = blocks,
                           .terms = x.terms,
                           .quants_bytes = format.quants_bytes(),
                           .scales_bytes = format.scales_bytes(),
                           .scale_shift = static_cast<unsigned>(__builtin_ctz(format.block)) - 5U,
                           .has_half_scales = format.has_half_scales};
  const std::byte* end = matrix.packed.data() + last * group_bytes;
  constexpr std::size_t kLanes = MatrixFormat::kGroupRows;
  for (std::size_t group = first; group < last; ++group) {
    const std::byte* packed = matrix.packed.data() + group * group_bytes;
    const std::size_t column = group * kLanes;
    const std::size_t left = format.rows - column;
    const ReadAhead ahead{.first = packed + kReadAheadBytes,
                          .end = end,
                          .next = output.next_read,
                          .step = group_bytes / blocks};
    for (std::size_t row = 0; row < x.rows; row += kTileRows) {
      const bool is_last = row + kTileRows >= x.rows;
      const TileTask task{
          .shape = shape,
          .group = {.quants = packed,
                    .scales = packed + shape.quants_bytes,
                    .zeros = packed + shape.quants_bytes + shape.scales_bytes},
          .ahead =
              is_last ? ahead : ReadAhead{.first = end, .end = end, .next = nullptr, .step = 0},
          .rows = x.data + tile_offset(row, x.records()),
          .output = {
              .out = output.out.data + row * output.out.stride + (column - output.first_column),
              .stride = output.out.stride,
              .rows = is_last ? x.rows - row : kTileRows,
              .columns = left < kLanes ? left : kLanes,
              .bias = output.bias == nullptr ? nullptr : output.bias + column}};
      multiply_tile<Set, kBits, kZeros>(task, height_at(x.rows, row));
    }
  }
}

template <class Set, int kBits>
void walk_zeros(const PackedMatrix& matrix, const QuantizedRows& x, std::size_t first,
                std::size_t last, const ProductOutput& output) {
  switch (matrix.format.zeros) {
    case ZeroPoints::kSymmetric:
      return walk_groups<Set, kBits, ZeroPoints::kSymmetric>(matrix, x, first, last, output);
    case ZeroPoints::kInteger:
      return walk_groups<Set, kBits, ZeroPoints::kInteger>(matrix, x, first, last, output);
    case ZeroPoints::kMinimum:
      return walk_groups<Set, kBits, ZeroPoints::kMinimum>(matrix, x, first, last, output);
  }
}

/// Set::tile<bits, zeros, height>(task) computes one tile.
template <class Set>
void multiply_groups_with(const PackedMatrix& matrix, const QuantizedRows& x, std::size_t first,
                          std::size_t last, const ProductOutput& output) {
  if (matrix.format.bits == 4) {
    walk_zeros<Set, 4>(matrix, x, first, last, output);
  } else {
    walk_zeros<Set, 8>(matrix, x, first, last, output);
  }
}

}  // namespace onnxlocal::ep
