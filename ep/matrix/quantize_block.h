#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "matrix/matrix_product.h"
#include "matrix/row_tiles.h"

namespace onnxlocal::ep {

// The quantization of activations: one definition for all instruction sets, whose files differ in
// how a block's values are rounded, and not in what comes out.

struct BlockScale {
  float scale;
  float inverse;  ///< 0 where the values become zeros.
};

/// `largest`: a block's largest magnitude; not finite where one of its values is not.
static inline BlockScale block_scale(float largest) {
  if (!(largest <= std::numeric_limits<float>::max())) {
    return {.scale = std::numeric_limits<float>::quiet_NaN(), .inverse = 0};
  }
  // Below, the scale would be denormal and lose its digits.
  if (largest < 0x1p-119F) return {.scale = 0, .inverse = 0};
  return {.scale = largest / 127.0F, .inverse = 127.0F / largest};
}

/// Where a block of a row goes.
struct BlockSink {
  std::int8_t* values;
  RecordView<std::byte> record;
  std::size_t row;

  void finish(float scale, std::int32_t sum) const {
    const float scaled_sum = scale * static_cast<float>(sum);
    const std::int32_t start = -8 * sum;
    std::memcpy(record.scales() + 4 * row, &scale, 4);
    std::memcpy(record.scaled_sums() + 4 * row, &scaled_sum, 4);
    std::memcpy(record.starts() + 4 * row, &start, 4);
    std::memcpy(record.sums() + 4 * row, &sum, 4);
  }
};

/// Blocks [first, last) of a row: where a kernel's quantize_blocks goes.
struct QuantizeTask {
  const float* x;
  std::size_t row;
  std::size_t first;
  std::size_t last;
  const QuantizedRows& out;
};

/// quantize(block, sink) quantizes 32 floats. `Quantize` is a type of one file alone.
template <class Quantize>
static inline void quantize_with(const QuantizeTask& task, Quantize quantize) {
  const QuantizedRows& out = task.out;
  const RowPlace place =
      place_of(out.data, out.rows, (out.columns + kBlockColumns - 1) / kBlockColumns, task.row);
  for (std::size_t block = task.first; block < task.last; ++block) {
    const RecordView<std::byte> record{
        .data = place.record + block * place.height * kRecordBytesPerRow, .height = place.height};
    const auto sink = [&](std::size_t at) {
      return BlockSink{
          .values = reinterpret_cast<std::int8_t*>(record.values(at)), .record = record, .row = at};
    };
    const float* x = task.x + block * kBlockColumns;
    const std::size_t left = out.columns - block * kBlockColumns;
    if (left >= kBlockColumns) {
      quantize(x, sink(place.row));
    } else {
      float tail[kBlockColumns] = {};
      std::memcpy(tail, x, left * sizeof(float));
      quantize(tail, sink(place.row));
    }
    for (std::size_t fill = place.row + 1; place.is_last && fill < place.height; ++fill) {
      std::memset(record.values(fill), 0, kBlockColumns);
      sink(fill).finish(0, 0);
    }
  }
}

}  // namespace onnxlocal::ep
