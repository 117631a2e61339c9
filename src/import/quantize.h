#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "import/gguf_types.h"

namespace onnxlocal {

/// Values that share one scale, in GGUF's types and in the MatMulNBits form we write.
inline constexpr std::uint32_t kQuantBlockValues = 32;

/// How a GGUF type's values lie in ONNX. A value is `(quant - zero_point) * scale` in float32,
/// equal to the file's own (Q4_1: to float32 rounding), so that nothing is quantized twice.
struct WeightLayout {
  /// 4 or 8: MatMulNBits and GatherBlockQuantized; 0: plain float32.
  std::uint32_t bits = 0;
  /// A float32 zero-point for each block (Q4_1). Without: 2^(bits-1), the operators' own default.
  bool has_zero_points = false;

  bool is_quantized() const { return bits != 0; }
  std::uint64_t quant_bytes(std::uint64_t values) const { return values * bits / 8; }
  friend bool operator==(const WeightLayout&, const WeightLayout&) = default;
};

/// Errors: unsupported (names the type and those we have).
Result<WeightLayout> weight_layout(GgmlType type);

/// One row's blocks to packed unsigned quants: `layout.quant_bytes(values)` bytes, low half first.
///   REQUIRES: a quantized type; whole blocks; sizes that fit each other.
void pack_quants(GgmlType type, std::span<const std::byte> row, std::span<std::uint8_t> quants);
/// One float32 for each block.
void pack_scales(GgmlType type, std::span<const std::byte> row, std::span<float> scales);
/// One float32 for each block; Q4_1 alone has them.
void pack_zero_points(GgmlType type, std::span<const std::byte> row, std::span<float> zero_points);

}  // namespace onnxlocal
