#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "attention/bytes_neon.h"
#include "rows/floats_neon.h"

namespace onnxlocal::ep {

/// What both NEON forms share: rounding and the registers' shape.
struct NeonFormats {
  using Floats = NeonFloats;
  using Bytes = NeonBytes;
  static constexpr std::size_t kScoreRows = 4;
  static constexpr std::size_t kScoreVectors = 1;
  static constexpr std::size_t kValueRows = 4;
  static constexpr std::size_t kValueVectors = 1;

  static void store_32(const Floats& low, const Floats& high, std::uint16_t* to) {
    for (int i = 0; i < 4; ++i) {
      vst1_u16(to + 4 * i, vmovn_u32(rounded(low.part[i])));
      vst1_u16(to + 16 + 4 * i, vmovn_u32(rounded(high.part[i])));
    }
  }
  static void interleave(const Floats& even, const Floats& odd, std::byte* to) {
    auto* const bytes = reinterpret_cast<std::uint8_t*>(to);
    for (int i = 0; i < 4; ++i) {
      const uint32x4_t high = vshlq_n_u32(rounded(odd.part[i]), 16);
      const uint32x4_t both = vorrq_u32(rounded(even.part[i]), high);
      vst1q_u8(bytes + 16 * i, vreinterpretq_u8_u32(both));
    }
  }
  static Floats load_f16(const std::uint16_t* from) {
    return Floats::each(
        [&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + 4 * i))); });
  }
  /// Four pairs, as bytes: what lies there was written as other types.
  static uint32x4_t load_pairs(const void* from, int index) {
    return vreinterpretq_u32_u8(vld1q_u8(static_cast<const std::uint8_t*>(from) + 16 * index));
  }

 private:
  /// to_bf16 of each lane, in the low halves. The processor's own conversion keeps denormals.
  static uint32x4_t rounded(float32x4_t value) {
    const uint32x4_t bits = vreinterpretq_u32_f32(value);
    const uint32x4_t top = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(top, vdupq_n_u32(1));
    const uint32x4_t sum = vaddq_u32(vaddq_u32(bits, odd), vdupq_n_u32(0x7fff));
    const uint32x4_t exponent = vandq_u32(bits, vdupq_n_u32(0x7f80'0000U));
    const uint32x4_t zero = vandq_u32(top, vdupq_n_u32(0x8000));
    const uint32x4_t quiet = vorrq_u32(top, vdupq_n_u32(0x40));
    const uint32x4_t result =
        vbslq_u32(vceqq_u32(exponent, vdupq_n_u32(0)), zero, vshrq_n_u32(sum, 16));
    return vbslq_u32(vceqq_f32(value, value), result, quiet);
  }
};

/// NEON without BF16: pairs are widened, and each product is its own fused step.
struct NeonDot : NeonFormats {
  struct Line {
    Floats even;
    Floats odd;
  };

  static Line line(const void* from) {
    Line result;
    for (int i = 0; i < 4; ++i) {
      const uint32x4_t both = load_pairs(from, i);
      result.even.part[i] = vreinterpretq_f32_u32(vshlq_n_u32(both, 16));
      result.odd.part[i] = vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff'0000U)));
    }
    return result;
  }
  static Line pair(const std::uint16_t* from) {
    const auto widened = [](std::uint16_t bits) {
      return Floats::all(__builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16U));
    };
    return {widened(from[0]), widened(from[1])};
  }
  static Line even_half(const Line& a) { return {a.even, Floats::all(0)}; }
  static Line odd_half(const Line& a) { return {Floats::all(0), a.odd}; }
  static Floats dot(const Floats& sum, const Line& a, const Line& b) {
    return Floats::fused(a.odd, b.odd, Floats::fused(a.even, b.even, sum));
  }
  static Line round_32(const Floats& low, const Floats& high, std::uint16_t* to) {
    store_32(low, high, to);
    return line(to);
  }
};

}  // namespace onnxlocal::ep
