#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace onnxlocal::ep {

/// Sixteen floats in one register. PortableFloats says what each member means.
struct Avx512Floats {
  __m512 lanes;

  static __mmask16 first_lanes(std::size_t count) {
    return static_cast<__mmask16>((1U << count) - 1U);
  }
  static Avx512Floats all(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512Floats load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Avx512Floats load_first(const float* from, std::size_t count) {
    return {_mm512_maskz_loadu_ps(first_lanes(count), from)};
  }
  void store(float* to) const { _mm512_storeu_ps(to, lanes); }
  void store_first(float* to, std::size_t count) const {
    _mm512_mask_storeu_ps(to, first_lanes(count), lanes);
  }

  friend Avx512Floats operator+(Avx512Floats a, Avx512Floats b) { return {a.lanes + b.lanes}; }
  friend Avx512Floats operator-(Avx512Floats a, Avx512Floats b) { return {a.lanes - b.lanes}; }
  friend Avx512Floats operator*(Avx512Floats a, Avx512Floats b) { return {a.lanes * b.lanes}; }
  friend Avx512Floats operator/(Avx512Floats a, Avx512Floats b) { return {a.lanes / b.lanes}; }
  static Avx512Floats fused(Avx512Floats a, Avx512Floats b, Avx512Floats c) {
    return {_mm512_fmadd_ps(a.lanes, b.lanes, c.lanes)};
  }
  static Avx512Floats fused_from(Avx512Floats a, Avx512Floats b, Avx512Floats c) {
    return {_mm512_fnmadd_ps(a.lanes, b.lanes, c.lanes)};
  }
  static Avx512Floats product_error(Avx512Floats a, Avx512Floats b, Avx512Floats product) {
    return {_mm512_fmsub_ps(a.lanes, b.lanes, product.lanes)};
  }
  static Avx512Floats larger(Avx512Floats a, Avx512Floats b) {
    return {_mm512_maskz_max_ps(kAll, a.lanes, b.lanes)};
  }
  static Avx512Floats where_less(Avx512Floats a, Avx512Floats b, Avx512Floats yes,
                                 Avx512Floats no) {
    const __mmask16 less = _mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_LT_OQ);
    return {_mm512_mask_blend_ps(less, no.lanes, yes.lanes)};
  }
  static Avx512Floats absolute(Avx512Floats a) {
    return {_mm512_and_ps(a.lanes, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fff'ffff)))};
  }
  static Avx512Floats nearest(Avx512Floats a) {
    return {
        _mm512_maskz_roundscale_ps(kAll, a.lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Avx512Floats times_power_of_two(Avx512Floats a, Avx512Floats n) {
    return {_mm512_maskz_scalef_ps(kAll, a.lanes, n.lanes)};
  }
  static Avx512Floats keep(Avx512Floats a, int first, int last, float other) {
    return {_mm512_mask_mov_ps(_mm512_set1_ps(other), lanes_between(first, last), a.lanes)};
  }
  float sum() const {
    __m128 part = quarter<0>(lanes) + quarter<1>(lanes) + (quarter<2>(lanes) + quarter<3>(lanes));
    part += _mm_movehl_ps(part, part);
    return part[0] + part[1];
  }
  float largest() const {
    __m128 part = _mm_max_ps(_mm_max_ps(quarter<0>(lanes), quarter<1>(lanes)),
                             _mm_max_ps(quarter<2>(lanes), quarter<3>(lanes)));
    part = _mm_max_ps(part, _mm_movehl_ps(part, part));
    return part[0] > part[1] ? part[0] : part[1];
  }

 private:
  /// The masked forms with every lane: g++ 12 warns of the others' undefined operand.
  static constexpr __mmask16 kAll = 0xffff;
  static __mmask16 lanes_between(int first, int last) {
    const int begin = first < 0 ? 0 : (first > 16 ? 16 : first);
    const int end = last < begin ? begin : (last > 16 ? 16 : last);
    return static_cast<__mmask16>(((1U << static_cast<unsigned>(end)) - 1U) &
                                  ~((1U << static_cast<unsigned>(begin)) - 1U));
  }
  template <int kIndex>
  static __m128 quarter(__m512 v) {
    return _mm512_maskz_extractf32x4_ps(0xf, v, kIndex);
  }
};

}  // namespace onnxlocal::ep
