#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace onnxlocal::ep {

/// Sixteen floats in two registers. PortableFloats says what each member means.
struct Avx2Floats {
  __m256 low;
  __m256 high;

  static Avx2Floats all(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static Avx2Floats load(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
  static Avx2Floats load_first(const float* from, std::size_t count) {
    const int last = static_cast<int>(count);
    const std::size_t beyond = count > 8 ? 8 : 0;  // No pointer past what may be read.
    return {_mm256_maskload_ps(from, lanes_between(0, last)),
            _mm256_maskload_ps(from + beyond, lanes_between(0, last - 8))};
  }
  void store(float* to) const {
    _mm256_storeu_ps(to, low);
    _mm256_storeu_ps(to + 8, high);
  }
  void store_first(float* to, std::size_t count) const {
    const int last = static_cast<int>(count);
    const std::size_t beyond = count > 8 ? 8 : 0;
    _mm256_maskstore_ps(to, lanes_between(0, last), low);
    _mm256_maskstore_ps(to + beyond, lanes_between(0, last - 8), high);
  }

  friend Avx2Floats operator+(Avx2Floats a, Avx2Floats b) {
    return {a.low + b.low, a.high + b.high};
  }
  friend Avx2Floats operator-(Avx2Floats a, Avx2Floats b) {
    return {a.low - b.low, a.high - b.high};
  }
  friend Avx2Floats operator*(Avx2Floats a, Avx2Floats b) {
    return {a.low * b.low, a.high * b.high};
  }
  friend Avx2Floats operator/(Avx2Floats a, Avx2Floats b) {
    return {a.low / b.low, a.high / b.high};
  }
  static Avx2Floats fused(Avx2Floats a, Avx2Floats b, Avx2Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static Avx2Floats fused_from(Avx2Floats a, Avx2Floats b, Avx2Floats c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
  }
  static Avx2Floats product_error(Avx2Floats a, Avx2Floats b, Avx2Floats product) {
    return {_mm256_fmsub_ps(a.low, b.low, product.low),
            _mm256_fmsub_ps(a.high, b.high, product.high)};
  }
  static Avx2Floats larger(Avx2Floats a, Avx2Floats b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static Avx2Floats where_less(Avx2Floats a, Avx2Floats b, Avx2Floats yes, Avx2Floats no) {
    return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
  }
  static Avx2Floats absolute(Avx2Floats a) {
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff'ffff));
    return {_mm256_and_ps(a.low, mask), _mm256_and_ps(a.high, mask)};
  }
  static Avx2Floats nearest(Avx2Floats a) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
  }
  static Avx2Floats times_power_of_two(Avx2Floats a, Avx2Floats n) {
    return {a.low * power(n.low), a.high * power(n.high)};
  }
  static Avx2Floats keep(Avx2Floats a, int first, int last, float other) {
    const __m256 others = _mm256_set1_ps(other);
    return {
        _mm256_blendv_ps(others, a.low, _mm256_castsi256_ps(lanes_between(first, last))),
        _mm256_blendv_ps(others, a.high, _mm256_castsi256_ps(lanes_between(first - 8, last - 8)))};
  }
  float sum() const {
    const __m256 both = low + high;
    __m128 part = _mm256_castps256_ps128(both) + _mm256_extractf128_ps(both, 1);
    part += _mm_movehl_ps(part, part);
    return part[0] + part[1];
  }
  float largest() const {
    const __m256 both = _mm256_max_ps(low, high);
    __m128 part = _mm_max_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    part = _mm_max_ps(part, _mm_movehl_ps(part, part));
    return part[0] > part[1] ? part[0] : part[1];
  }

 private:
  static __m256i lanes_between(int first, int last) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i from_first = _mm256_cmpgt_epi32(index, _mm256_set1_epi32(first - 1));
    return _mm256_and_si256(from_first, _mm256_cmpgt_epi32(_mm256_set1_epi32(last), index));
  }
  static __m256 power(__m256 n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  }
};

}  // namespace onnxlocal::ep
