#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxlocal::ep {

// How QuantizedRows lie in memory: in tiles of 16 rows, each one sequential read for a kernel. The
// last tile has as many rows as are left, filled up to a height that kernels are made for. A tile
// is a record for each term of each block of 32 columns:
//   int8   values[height][32]
//   float  scales[height]
//   float  scaled_sums[height]   scale * sum of the block's values
//   int32  starts[height]        -8 * sum: where the dot product of a symmetric 4-bit block starts
//   int32  sums[height]
// Functions here have internal linkage: files for one instruction set must not share code.

inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kBlockColumns = 32;
inline constexpr std::size_t kRecordBytesPerRow = kBlockColumns + 16;

/// The height of a tile of `rows` rows, at most 16: 1, 2, 3, 4, 6, 8, 12 or 16.
static inline std::size_t tile_height(std::size_t rows) {
  if (rows <= 4) return rows;
  if (rows <= 6) return 6;
  if (rows <= 8) return 8;
  return rows <= 12 ? 12 : kTileRows;
}

/// The height of the tile that holds row `row` of `rows`.
static inline std::size_t height_at(std::size_t rows, std::size_t row) {
  const std::size_t left = rows - row / kTileRows * kTileRows;
  return left >= kTileRows ? kTileRows : tile_height(left);
}

/// Where the tile that begins with row `first` (a multiple of 16) lies.
static inline std::size_t tile_offset(std::size_t first, std::size_t records) {
  return first * records * kRecordBytesPerRow;
}

/// One row's place in its tile.
struct RowPlace {
  std::byte* record;   ///< Of the first block.
  std::size_t height;  ///< Rows in the tile: a record is height * kRecordBytesPerRow bytes.
  std::size_t row;     ///< In the tile.
  bool is_last;        ///< The rows behind it in the tile are there to fill it.
};

static inline RowPlace place_of(std::byte* data, std::size_t rows, std::size_t records,
                                std::size_t row) {
  return {.record = data + tile_offset(row / kTileRows * kTileRows, records),
          .height = height_at(rows, row),
          .row = row % kTileRows,
          .is_last = row + 1 == rows};
}

/// A record's parts.
template <class Byte>
struct RecordView {
  Byte* data;
  std::size_t height;
  Byte* values(std::size_t row) const { return data + row * kBlockColumns; }
  Byte* scales() const { return data + height * kBlockColumns; }
  Byte* scaled_sums() const { return scales() + 4 * height; }
  Byte* starts() const { return scales() + 8 * height; }
  Byte* sums() const { return scales() + 12 * height; }
};

}  // namespace onnxlocal::ep
