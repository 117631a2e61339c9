#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "attention/bytes_avx512.h"
#include "rows/floats_avx512.h"

namespace onnxlocal::ep {

/// AVX512-BF16: one instruction multiplies and adds sixteen pairs.
struct Avx512Bf16Dot {
  using Floats = Avx512Floats;
  using Bytes = Avx512Bytes;
  struct Line {
    __m512i pairs;
  };
  static constexpr std::size_t kScoreRows = 12;
  static constexpr std::size_t kScoreVectors = 2;
  static constexpr std::size_t kValueRows = 6;
  static constexpr std::size_t kValueVectors = 4;

  static Line line(const std::byte* from) { return {_mm512_loadu_si512(from)}; }
  static Line pair(const std::uint16_t* from) {
    int both = 0;
    __builtin_memcpy(&both, from, sizeof both);
    return {_mm512_set1_epi32(both)};
  }
  static Line even_half(Line a) { return {a.pairs & _mm512_set1_epi32(0xffff)}; }
  static Line odd_half(Line a) {
    return {a.pairs & _mm512_set1_epi32(static_cast<int>(0xffff'0000U))};
  }
  static Floats dot(Floats sum, Line a, Line b) {
    return {_mm512_dpbf16_ps(sum.lanes, (__m512bh)a.pairs, (__m512bh)b.pairs)};
  }
  static Line round_32(Floats low, Floats high, std::uint16_t* to) {
    const Line line{(__m512i)_mm512_cvtne2ps_pbh(high.lanes, low.lanes)};
    _mm512_storeu_si512(to, line.pairs);
    return line;
  }
  static void interleave(Floats even, Floats odd, std::byte* to) {
    const __m512i low = widen((__m256i)_mm512_cvtneps_pbh(even.lanes));
    const __m512i high = widen((__m256i)_mm512_cvtneps_pbh(odd.lanes));
    _mm512_storeu_si512(to, low | _mm512_maskz_slli_epi32(0xffff, high, 16));
  }
  static Floats load_f16(const std::uint16_t* from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return {_mm512_maskz_cvtph_ps(0xffff, halves)};
  }

 private:
  static __m512i widen(__m256i halves) { return _mm512_maskz_cvtepu16_epi32(0xffff, halves); }
};

}  // namespace onnxlocal::ep
