#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "attention/bytes_avx512.h"
#include "rows/floats_avx512.h"

namespace onnxlocal::ep {

/// AVX-512 without BF16: pairs are widened, and each product is its own fused step.
struct Avx512Dot {
  using Floats = Avx512Floats;
  using Bytes = Avx512Bytes;
  struct Line {
    __m512 even;
    __m512 odd;
  };
  static constexpr std::size_t kScoreRows = 12;
  static constexpr std::size_t kScoreVectors = 2;
  static constexpr std::size_t kValueRows = 6;
  static constexpr std::size_t kValueVectors = 4;

  static Line line(const std::byte* from) { return widen(_mm512_loadu_si512(from)); }
  static Line pair(const std::uint16_t* from) {
    int both = 0;
    __builtin_memcpy(&both, from, sizeof both);
    return widen(_mm512_set1_epi32(both));
  }
  static Line even_half(Line a) { return {a.even, _mm512_setzero_ps()}; }
  static Line odd_half(Line a) { return {_mm512_setzero_ps(), a.odd}; }
  static Floats dot(Floats sum, Line a, Line b) {
    return {_mm512_fmadd_ps(a.odd, b.odd, _mm512_fmadd_ps(a.even, b.even, sum.lanes))};
  }
  static Line round_32(Floats low, Floats high, std::uint16_t* to) {
    const __m512i pairs =
        _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(narrow(low)), narrow(high), 1);
    _mm512_storeu_si512(to, pairs);
    return widen(pairs);
  }
  static void interleave(Floats even, Floats odd, std::byte* to) {
    _mm512_storeu_si512(to, rounded(even) | _mm512_maskz_slli_epi32(kAll, rounded(odd), 16));
  }
  static Floats load_f16(const std::uint16_t* from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return {_mm512_maskz_cvtph_ps(kAll, halves)};
  }

 private:
  static constexpr __mmask16 kAll = 0xffff;
  static Line widen(__m512i pairs) {
    const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff'0000U));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, pairs, 16)),
            _mm512_castsi512_ps(pairs & high)};
  }
  /// to_bf16 of each lane, in the low halves.
  static __m512i rounded(Floats value) {
    const __m512i bits = _mm512_castps_si512(value.lanes);
    const __m512i top = _mm512_maskz_srli_epi32(kAll, bits, 16);
    const __m512i odd = top & _mm512_set1_epi32(1);
    const __m512i sum = _mm512_maskz_add_epi32(kAll, _mm512_maskz_add_epi32(kAll, bits, odd),
                                               _mm512_set1_epi32(0x7fff));
    const __m512i nearest = _mm512_maskz_srli_epi32(kAll, sum, 16);
    const __mmask16 tiny = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f80'0000));
    const __mmask16 nan = _mm512_cmp_ps_mask(value.lanes, value.lanes, _CMP_UNORD_Q);
    const __m512i result = _mm512_mask_and_epi32(nearest, tiny, top, _mm512_set1_epi32(0x8000));
    return _mm512_mask_or_epi32(result, nan, top, _mm512_set1_epi32(0x40));
  }
  static __m256i narrow(Floats value) { return _mm512_maskz_cvtepi32_epi16(kAll, rounded(value)); }
};

}  // namespace onnxlocal::ep
