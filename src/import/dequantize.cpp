#include "import/dequantize.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "import/half.h"

namespace onnxlocal {

namespace {

// Blocks of 32 values, as ggml-common.h lays them out (all little endian):
//   Q8_0:  half scale; int8 q[32]                value = q * scale
//   Q4_0:  half scale; uint8 q[16]               value = (q - 8) * scale
//   Q4_1:  half scale; half minimum; uint8 q[16] value = q * scale + minimum
// The low nibble of byte j is value j, the high one value j + 16.
constexpr std::size_t kBlock = 32;

std::uint16_t load_u16(const std::byte* bytes) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) |
                                    std::to_integer<unsigned>(bytes[1]) << 8);
}

int low_nibble(std::byte byte) { return std::to_integer<int>(byte & std::byte{0x0f}); }
int high_nibble(std::byte byte) { return std::to_integer<int>(byte >> 4); }

void dequantize_q8_0(const std::byte* block, float* values) {
  const float scale = half_to_float(load_u16(block));
  for (std::size_t j = 0; j < kBlock; ++j) {
    values[j] = static_cast<float>(static_cast<std::int8_t>(block[2 + j])) * scale;
  }
}

void dequantize_q4_0(const std::byte* block, float* values) {
  const float scale = half_to_float(load_u16(block));
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    values[j] = static_cast<float>(low_nibble(block[2 + j]) - 8) * scale;
    values[j + kBlock / 2] = static_cast<float>(high_nibble(block[2 + j]) - 8) * scale;
  }
}

void dequantize_q4_1(const std::byte* block, float* values) {
  const float scale = half_to_float(load_u16(block));
  const float minimum = half_to_float(load_u16(block + 2));
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    values[j] = static_cast<float>(low_nibble(block[4 + j])) * scale + minimum;
    values[j + kBlock / 2] = static_cast<float>(high_nibble(block[4 + j])) * scale + minimum;
  }
}

void dequantize_f32(const std::byte* bytes, float* value) { std::memcpy(value, bytes, 4); }
void dequantize_f16(const std::byte* bytes, float* value) {
  *value = half_to_float(load_u16(bytes));
}
void dequantize_bf16(const std::byte* bytes, float* value) {
  *value = bfloat16_to_float(load_u16(bytes));
}

using BlockFunction = void (*)(const std::byte*, float*);

BlockFunction block_function(GgmlType type) {
  switch (type) {
    case GgmlType::kF32: return dequantize_f32;
    case GgmlType::kF16: return dequantize_f16;
    case GgmlType::kBf16: return dequantize_bf16;
    case GgmlType::kQ8_0: return dequantize_q8_0;
    case GgmlType::kQ4_0: return dequantize_q4_0;
    case GgmlType::kQ4_1: return dequantize_q4_1;
    default: return nullptr;
  }
}

}  // namespace

Result<void> dequantize(GgmlType type, std::span<const std::byte> bytes, std::span<float> values) {
  const BlockFunction function = block_function(type);
  if (function == nullptr) {
    return std::unexpected(unsupported(
        fmt::format("tensor type {}: expected F32, F16, BF16, Q8_0, Q4_0 or Q4_1", to_string(type)),
        "use a file in one of these types"));
  }
  const GgmlTypeInfo layout = info(type);
  const std::size_t blocks = values.size() / layout.block_values;
  if (values.size() % layout.block_values != 0 || bytes.size() != blocks * layout.block_bytes) {
    return std::unexpected(invalid_request(fmt::format(
        "{} values of type {}: expected whole blocks of {} values in {} bytes, found "
        "{} bytes",
        values.size(), layout.name, layout.block_values, layout.block_bytes, bytes.size())));
  }
  for (std::size_t i = 0; i < blocks; ++i) {
    function(bytes.data() + i * layout.block_bytes, values.data() + i * layout.block_values);
  }
  return {};
}

}  // namespace onnxlocal
