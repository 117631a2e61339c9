#pragma once

#include "attention/bytes_avx2.h"

namespace onnxlocal::ep {

/// AVX-VNNI multiplies unsigned bytes by signed ones: a line's are moved up by 128, and sums begin
/// with what that adds.
struct AvxVnniBytes : Bytes256 {
  struct Line {
    __m256i low;
    __m256i high;
  };
  static constexpr std::size_t kScoreRows = 6;
  static constexpr std::size_t kValueRows = 3;

  static Line line(const std::byte* from) { return {moved(load(from)), moved(load(from + 32))}; }
  static __m256i quad(const std::int8_t* from) { return broadcast(from); }
  static Sums start(std::int32_t total) {
    return {_mm256_set1_epi32(-128 * total), _mm256_set1_epi32(-128 * total)};
  }
  static void add_dot(Sums& sums, Line a, __m256i b) {
    sums.low = _mm256_dpbusd_avx_epi32(sums.low, a.low, b);
    sums.high = _mm256_dpbusd_avx_epi32(sums.high, a.high, b);
  }

 private:
  static __m256i moved(__m256i bytes) {
    return _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80)));
  }
};

}  // namespace onnxlocal::ep
