#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace onnxlocal::ep {

/// The bits of a bfloat16, rounded to nearest even as the hardware's own conversion does.
/// Denormals become zero, as they do there.
inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  constexpr std::uint32_t kExponent = 0x7f80'0000U;
  if ((bits & kExponent) == 0) return static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  if ((bits & kExponent) == kExponent && (bits & 0x007f'ffffU) != 0) {
    return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);  // A quiet NaN.
  }
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// IEEE 754 binary16, to nearest even, by integer arithmetic alone.
inline std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fff'ffffU;
  if (magnitude > 0x7f80'0000U) return sign | 0x7e00U;
  if (magnitude >= 0x4780'0000U) return sign | 0x7c00U;  // 65536 and more.
  if (magnitude < 0x3880'0000U) {                        // Below the smallest normal.
    // Adding 0.5 puts the wanted bits at the end of the significand, rounded.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(shifted) - 0x3f00'0000U);
  }
  const std::uint32_t odd = (magnitude >> 13U) & 1U;
  const std::uint32_t rounded = magnitude + 0xc800'0fffU + odd;  // Re-biases the exponent.
  return sign | static_cast<std::uint16_t>(rounded >> 13U);
}

inline float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
  const std::uint32_t magnitude = bits & 0x7fffU;
  if (magnitude >= 0x7c00U) {
    return std::bit_cast<float>(sign | 0x7f80'0000U | ((magnitude & 0x3ffU) << 13U));
  }
  if (magnitude < 0x0400U) {
    constexpr float kSmallest = 1.0F / 16'777'216.0F;  // 2^-24
    const float value = static_cast<float>(magnitude) * kSmallest;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | ((magnitude << 13U) + 0x3800'0000U));
}

/// The number at `index` of floats, or of halves, at any address.
inline float number_at(const std::byte* numbers, std::size_t index, bool is_half) {
  if (is_half) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, numbers + sizeof(bits) * index, sizeof(bits));
    return from_f16(bits);
  }
  float value = 0;
  std::memcpy(&value, numbers + sizeof(value) * index, sizeof(value));
  return value;
}

}  // namespace onnxlocal::ep
