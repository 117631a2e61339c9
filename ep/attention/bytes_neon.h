#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "rows/floats_neon.h"

namespace onnxlocal::ep {

/// The dot product of ARMv8.2 multiplies signed bytes.
struct NeonBytes {
  using Floats = NeonFloats;
  struct Line {
    int8x16_t part[4];
  };
  struct Sums {
    int32x4_t part[4];
  };
  static constexpr std::size_t kScoreRows = 4;
  static constexpr std::size_t kScoreVectors = 1;
  static constexpr std::size_t kValueRows = 3;
  static constexpr std::size_t kValueVectors = 1;

  static Line line(const std::byte* from) {
    const auto* const bytes = reinterpret_cast<const std::int8_t*>(from);
    return {{vld1q_s8(bytes), vld1q_s8(bytes + 16), vld1q_s8(bytes + 32), vld1q_s8(bytes + 48)}};
  }
  static int8x16_t quad(const std::int8_t* from) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, from, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static Sums start(std::int32_t /*total*/) {
    const int32x4_t zero = vdupq_n_s32(0);
    return {{zero, zero, zero, zero}};
  }
  static void add_dot(Sums& sums, const Line& a, int8x16_t b) {
    for (int i = 0; i < 4; ++i) sums.part[i] = vdotq_s32(sums.part[i], a.part[i], b);
  }
  static Floats floats(const Sums& sums) {
    return Floats::each([&](int i) { return vcvtq_f32_s32(sums.part[i]); });
  }
  static void store(const Floats& integers, std::int8_t* to) {
    const auto words = [&](int i) {
      return vcombine_s16(vmovn_s32(vcvtq_s32_f32(integers.part[i])),
                          vmovn_s32(vcvtq_s32_f32(integers.part[i + 1])));
    };
    vst1q_s8(to, vcombine_s8(vmovn_s16(words(0)), vmovn_s16(words(2))));
  }
};

}  // namespace onnxlocal::ep
