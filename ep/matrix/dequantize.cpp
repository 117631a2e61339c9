#include "matrix/dequantize.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/number_formats.h"

namespace onnxlocal::ep {

namespace {

constexpr std::size_t kLanes = MatrixFormat::kGroupRows;

/// The 32 quants of a block in one lane; `quants` begins with the lane.
void unpack(const std::byte* quants, unsigned bits, std::uint8_t (&out)[32]) {
  if (bits == 8) {
    for (std::size_t quad = 0; quad < 8; ++quad) std::memcpy(out + 4 * quad, quants + 64 * quad, 4);
    return;
  }
  for (std::size_t quad = 0; quad < 4; ++quad) {
    for (std::size_t i = 0; i < 4; ++i) {
      const auto pair = static_cast<std::uint8_t>(quants[64 * quad + i]);
      out[4 * quad + i] = pair & 15U;
      out[16 + 4 * quad + i] = static_cast<std::uint8_t>(pair >> 4U);
    }
  }
}

}  // namespace

void dequantize_row(const PackedMatrix& matrix, std::size_t row, float* out) {
  const MatrixFormat& format = matrix.format;
  const std::byte* quants = matrix.packed.data() + row / kLanes * format.group_bytes();
  const std::byte* scales = quants + format.quants_bytes();
  const std::byte* zeros = scales + format.scales_bytes();
  const std::size_t lane = row % kLanes;
  for (std::size_t column = 0; column < format.columns; column += 32) {
    const std::size_t index = column / format.block * kLanes + lane;
    const float scale = number_at(scales, index, format.has_half_scales);
    std::int32_t zero = 1 << (format.bits - 1);
    float minimum = 0;
    if (format.zeros == ZeroPoints::kInteger) zero = static_cast<std::int32_t>(zeros[index]);
    if (format.zeros == ZeroPoints::kMinimum) {
      zero = 0;
      minimum = number_at(zeros, index, format.has_half_scales);
    }
    std::uint8_t values[32];
    unpack(quants + column / 32 * 64 * format.bits + 4 * lane, format.bits, values);
    const std::size_t count = std::min<std::size_t>(32, format.columns - column);
    for (std::size_t i = 0; i < count; ++i) {
      out[column + i] = scale * static_cast<float>(values[i] - zero) + minimum;
    }
  }
}

}  // namespace onnxlocal::ep
