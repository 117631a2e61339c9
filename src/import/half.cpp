#include "import/half.h"

#include <bit>

namespace onnxlocal {

namespace {

constexpr std::uint32_t kSignMask = 0x8000'0000U;
constexpr std::uint32_t kInfinity = 0x7f80'0000U;
// Values from here on round to infinity as binary16: half-way between 65504 and 65536.
constexpr std::uint32_t kHalfOverflow = 0x477f'f000U;
// 2^-14, the least normal binary16.
constexpr std::uint32_t kHalfLeastNormal = 0x3880'0000U;

}  // namespace

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fU;
  const std::uint32_t fraction = half & 0x3ffU;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | kInfinity | (fraction << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + (127 - 15)) << 23) | (fraction << 13));
  }
  // Subnormal: fraction units of 2^-24; exact in binary32.
  const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits & kSignMask) >> 16);
  const std::uint32_t magnitude = bits & ~kSignMask;
  if (magnitude > kInfinity) return static_cast<std::uint16_t>(sign | 0x7e00U);
  if (magnitude >= kHalfOverflow) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (magnitude < kHalfLeastNormal) {
    // Adding 0.5 puts the units of 2^-24 into the last place, so that the FPU rounds for us.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign |
                                      (std::bit_cast<std::uint32_t>(shifted) - 0x3f00'0000U));
  }
  const std::uint32_t odd = (magnitude >> 13) & 1U;
  const std::uint32_t rounded = magnitude - (std::uint32_t{127 - 15} << 23) + 0xfffU + odd;
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

float bfloat16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

std::uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & ~kSignMask) > kInfinity) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace onnxlocal
