#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "attention/bytes_avx2.h"
#include "rows/floats_avx2.h"

namespace onnxlocal::ep {

/// AVX2: pairs are widened, and each product is its own fused step.
struct Avx2Dot {
  using Floats = Avx2Floats;
  using Bytes = Avx2Bytes;
  struct Line {
    Floats even;
    Floats odd;
  };
  static constexpr std::size_t kScoreRows = 4;
  static constexpr std::size_t kScoreVectors = 1;
  static constexpr std::size_t kValueRows = 4;
  static constexpr std::size_t kValueVectors = 1;

  static Line line(const std::byte* from) { return widen(load(from), load(from + 32)); }
  static Line pair(const std::uint16_t* from) {
    int both = 0;
    __builtin_memcpy(&both, from, sizeof both);
    const __m256i pairs = _mm256_set1_epi32(both);
    return widen(pairs, pairs);
  }
  static Line even_half(Line a) { return {a.even, Floats::all(0)}; }
  static Line odd_half(Line a) { return {Floats::all(0), a.odd}; }
  static Floats dot(Floats sum, Line a, Line b) {
    return Floats::fused(a.odd, b.odd, Floats::fused(a.even, b.even, sum));
  }
  static Line round_32(Floats low, Floats high, std::uint16_t* to) {
    const __m256i first = narrow(low);
    const __m256i second = narrow(high);
    store(first, to);
    store(second, to + 16);
    return widen(first, second);
  }
  static void interleave(Floats even, Floats odd, std::byte* to) {
    store(rounded(even.low) | _mm256_slli_epi32(rounded(odd.low), 16), to);
    store(rounded(even.high) | _mm256_slli_epi32(rounded(odd.high), 16), to + 32);
  }
  static Floats load_f16(const std::uint16_t* from) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8)))};
  }

 private:
  static __m256i load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
  static void store(__m256i value, void* to) {
    _mm256_storeu_si256(static_cast<__m256i*>(to), value);
  }
  static Line widen(__m256i low, __m256i high) {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff'0000U));
    return {{_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
             _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))},
            {_mm256_castsi256_ps(_mm256_and_si256(low, mask)),
             _mm256_castsi256_ps(_mm256_and_si256(high, mask))}};
  }
  /// to_bf16 of each lane, in the low halves.
  static __m256i rounded(__m256 value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i top = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
    const __m256i exponent = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f80'0000));
    const __m256i tiny = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i zero = _mm256_and_si256(top, _mm256_set1_epi32(0x8000));
    const __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    const __m256i result = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), zero, tiny);
    return _mm256_blendv_epi8(result, quiet, nan);
  }
  static __m256i narrow(Floats value) {
    const __m256i packed = _mm256_packus_epi32(rounded(value.low), rounded(value.high));
    return _mm256_permute4x64_epi64(packed, 0b11011000);
  }
};

}  // namespace onnxlocal::ep
