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

/// What is left of a block's values when its 8-bit ones are taken away.
static inline void take_away(const float* x, const BlockSink& sink, float* rest) {
  float scale = 0;
  std::memcpy(&scale, sink.record.scales() + 4 * sink.row, 4);
  for (std::size_t i = 0; i < kBlockColumns; ++i) {
    rest[i] = x[i] - scale * static_cast<float>(sink.values[i]);
  }
}

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
  const RowPlace place = place_of(out.data, out.rows, out.records(), task.row);
  const std::size_t record_bytes = place.height * kRecordBytesPerRow;
  for (std::size_t block = task.first; block < task.last; ++block) {
    const float* x = task.x + block * kBlockColumns;
    float rest[kBlockColumns] = {};
    const std::size_t left = out.columns - block * kBlockColumns;
    if (left < kBlockColumns) {
      std::memcpy(rest, x, left * sizeof(float));
      x = rest;
    }
    for (std::size_t term = 0; term < out.terms; ++term) {
      std::byte* at = place.record + (block * out.terms + term) * record_bytes;
      const RecordView<std::byte> record{.data = at, .height = place.height};
      const auto sink = [&](std::size_t row) {
        return BlockSink{.values = reinterpret_cast<std::int8_t*>(record.values(row)),
                         .record = record,
                         .row = row};
      };
      quantize(x, sink(place.row));
      for (std::size_t fill = place.row + 1; place.is_last && fill < place.height; ++fill) {
        std::memset(record.values(fill), 0, kBlockColumns);
        sink(fill).finish(0, 0);
      }
      if (term + 1 == out.terms) break;
      take_away(x, sink(place.row), rest);
      x = rest;
    }
  }
}

}  // namespace onnxlocal::ep
