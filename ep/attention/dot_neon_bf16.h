#pragma once

#include "attention/dot_neon.h"

namespace onnxlocal::ep {

/// NEON with BF16: one instruction multiplies and adds four pairs.
struct NeonBf16Dot : NeonFormats {
  struct Line {
    uint32x4_t part[4];
  };

  static Line line(const void* from) {
    return {{load_pairs(from, 0), load_pairs(from, 1), load_pairs(from, 2), load_pairs(from, 3)}};
  }
  static Line pair(const std::uint16_t* from) {
    std::uint32_t both = 0;
    __builtin_memcpy(&both, from, sizeof both);
    uint32x4_t same = vdupq_n_u32(both);
    // A constant is hidden: g++ 12 writes the bf16 number one as the half number one.
    asm("" : "+w"(same));
    return {{same, same, same, same}};
  }
  static Line even_half(const Line& a) { return masked(a, 0xffff); }
  static Line odd_half(const Line& a) { return masked(a, 0xffff'0000U); }
  static Floats dot(const Floats& sum, const Line& a, const Line& b) {
    return Floats::each([&](int i) {
      return vbfdotq_f32(sum.part[i], vreinterpretq_bf16_u32(a.part[i]),
                         vreinterpretq_bf16_u32(b.part[i]));
    });
  }
  static Line round_32(const Floats& low, const Floats& high, std::uint16_t* to) {
    store_32(low, high, to);
    return line(to);
  }

 private:
  static Line masked(const Line& a, std::uint32_t bits) {
    const uint32x4_t mask = vdupq_n_u32(bits);
    Line result;
    for (int i = 0; i < 4; ++i) result.part[i] = vandq_u32(a.part[i], mask);
    return result;
  }
};

}  // namespace onnxlocal::ep
