#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "rows/floats_avx2.h"

namespace onnxlocal::ep {

/// What AVX2 and AVX-VNNI share.
struct Bytes256 {
  using Floats = Avx2Floats;
  struct Sums {
    __m256i low;
    __m256i high;
  };
  static constexpr std::size_t kScoreVectors = 1;
  static constexpr std::size_t kValueVectors = 1;

  static Floats floats(Sums sums) {
    return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)};
  }
  static void store(Floats integers, std::int8_t* to) {
    const __m256i words =
        _mm256_packs_epi32(_mm256_cvtps_epi32(integers.low), _mm256_cvtps_epi32(integers.high));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0b11011000);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  }
  static __m256i load(const std::byte* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static __m256i broadcast(const std::int8_t* from) {
    int four = 0;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm256_set1_epi32(four);
  }
};

/// AVX2 multiplies unsigned bytes by signed ones and adds pairs in 16 bits: magnitudes by numbers
/// that took over the sign stay below 2 * 128 * 127.
struct Avx2Bytes : Bytes256 {
  struct Line {
    __m256i low;
    __m256i high;
  };
  struct Quad {
    __m256i magnitude;
    __m256i number;
  };
  static constexpr std::size_t kScoreRows = 4;
  static constexpr std::size_t kValueRows = 2;

  static Line line(const std::byte* from) { return {load(from), load(from + 32)}; }
  static Quad quad(const std::int8_t* from) {
    const __m256i number = broadcast(from);
    return {_mm256_abs_epi8(number), number};
  }
  static Sums start(std::int32_t /*total*/) {
    return {_mm256_setzero_si256(), _mm256_setzero_si256()};
  }
  static void add_dot(Sums& sums, Line a, Quad b) {
    sums.low = _mm256_add_epi32(sums.low, products(a.low, b));
    sums.high = _mm256_add_epi32(sums.high, products(a.high, b));
  }

 private:
  static __m256i products(__m256i a, Quad b) {
    const __m256i pairs = _mm256_maddubs_epi16(b.magnitude, _mm256_sign_epi8(a, b.number));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
};

}  // namespace onnxlocal::ep
