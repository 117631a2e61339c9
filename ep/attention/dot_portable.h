#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "attention/bytes_portable.h"
#include "cpu/number_formats.h"
#include "rows/floats_portable.h"

namespace onnxlocal::ep {

/// Plain C++.
struct PortableDot {
  using Floats = PortableFloats;
  using Bytes = PortableBytes;
  struct Line {
    Floats even;
    Floats odd;
  };
  static constexpr std::size_t kScoreRows = 2;
  static constexpr std::size_t kScoreVectors = 1;
  static constexpr std::size_t kValueRows = 2;
  static constexpr std::size_t kValueVectors = 1;

  static Line line(const std::byte* from) {
    std::uint32_t pairs[16];
    __builtin_memcpy(pairs, from, sizeof pairs);
    return widen(pairs);
  }
  static Line pair(const std::uint16_t* from) {
    return {Floats::all(from_bf16(from[0])), Floats::all(from_bf16(from[1]))};
  }
  static Line even_half(const Line& a) { return {a.even, Floats::all(0)}; }
  static Line odd_half(const Line& a) { return {Floats::all(0), a.odd}; }
  static Floats dot(const Floats& sum, const Line& a, const Line& b) {
    return Floats::fused(a.odd, b.odd, Floats::fused(a.even, b.even, sum));
  }
  static Line round_32(const Floats& low, const Floats& high, std::uint16_t* to) {
    for (std::size_t i = 0; i < 16; ++i) {
      to[i] = to_bf16(low.lane[i]);
      to[i + 16] = to_bf16(high.lane[i]);
    }
    return {Floats::each([&](std::size_t i) { return from_bf16(to[2 * i]); }),
            Floats::each([&](std::size_t i) { return from_bf16(to[2 * i + 1]); })};
  }
  static void interleave(const Floats& even, const Floats& odd, std::byte* to) {
    for (std::size_t i = 0; i < 16; ++i) {
      const std::uint16_t both[2] = {to_bf16(even.lane[i]), to_bf16(odd.lane[i])};
      __builtin_memcpy(to + 4 * i, both, sizeof both);
    }
  }
  static Floats load_f16(const std::uint16_t* from) {
    return Floats::each([&](std::size_t i) { return from_f16(from[i]); });
  }

 private:
  static Line widen(const std::uint32_t* pairs) {
    return {
        Floats::each([&](std::size_t i) { return std::bit_cast<float>(pairs[i] << 16U); }),
        Floats::each([&](std::size_t i) { return std::bit_cast<float>(pairs[i] & 0xffff'0000U); })};
  }
};

}  // namespace onnxlocal::ep
