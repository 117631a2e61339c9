#pragma once

#include <bit>

#include "attention/bf16_form.h"
#include "attention/int8_form.h"

namespace onnxlocal::ep {

/// The table's functions for one set: `Dot` is its arithmetic (bf16_form.h), Dot::Bytes that of
/// 8-bit numbers (int8_form.h).
template <class Dot>
class GenericAttention {
 public:
  static constexpr AttentionKernels kernels(InstructionSet set) {
    return {.set = set,
            .bf16 = CacheWalk<Dot, Bf16Form<Dot>>::kernels(),
            .int8 = CacheWalk<Dot, Int8Form<Dot>>::kernels(),
            .round = Bf16Form<Dot>::round,
            .widen_f16 = widen_f16,
            .widen_bf16 = widen_bf16,
            .merge = PartialMath<Dot>::merge,
            .finish = PartialMath<Dot>::finish};
  }

 private:
  static void widen_f16(const std::uint16_t* from, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; i += 16) Dot::load_f16(from + i).store(to + i);
  }
  static void widen_bf16(const std::uint16_t* from, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; ++i) {
      to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i]) << 16U);
    }
  }
};

}  // namespace onnxlocal::ep
