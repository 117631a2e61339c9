#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "rows/floats_avx512.h"

namespace onnxlocal::ep {

/// AVX-512 VNNI multiplies unsigned bytes by signed ones: a line's are moved up by 128, and sums
/// begin with what that adds.
struct Avx512Bytes {
  using Floats = Avx512Floats;
  struct Line {
    __m512i bytes;
  };
  struct Quad {
    const std::int8_t* bytes;
  };
  struct Sums {
    __m512i lanes;
  };
  static constexpr std::size_t kScoreRows = 12;
  static constexpr std::size_t kScoreVectors = 2;
  static constexpr std::size_t kValueRows = 3;
  static constexpr std::size_t kValueVectors = 4;

  static Line line(const std::byte* from) {
    return {_mm512_loadu_si512(from) ^ _mm512_set1_epi8(static_cast<char>(0x80))};
  }
  static Quad quad(const std::int8_t* from) { return {from}; }
  static Sums start(std::int32_t total) { return {_mm512_set1_epi32(-128 * total)}; }
  /// The quad is the instruction's own operand. With the intrinsic g++ 12 copies every sum.
  static void add_dot(Sums& sums, Line a, Quad b) {
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(sums.lanes)
        : "v"(a.bytes), "m"(*reinterpret_cast<const int*>(b.bytes)));
  }
  static Floats floats(Sums sums) { return {_mm512_maskz_cvtepi32_ps(kAll, sums.lanes)}; }
  static void store(Floats integers, std::int8_t* to) {
    const __m128i bytes =
        _mm512_maskz_cvtsepi32_epi8(kAll, _mm512_maskz_cvtps_epi32(kAll, integers.lanes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  }

 private:
  static constexpr __mmask16 kAll = 0xffff;
};

}  // namespace onnxlocal::ep
