#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace onnxlocal::ep {

/// Sixteen floats in four registers. PortableFloats says what each member means; the larger of a
/// number and NaN is NaN here.
struct NeonFloats {
  float32x4_t part[4];

  template <class Function>
  static NeonFloats each(Function function) {
    return {{function(0), function(1), function(2), function(3)}};
  }
  static NeonFloats all(float value) {
    const float32x4_t same = vdupq_n_f32(value);
    return {{same, same, same, same}};
  }
  static NeonFloats load(const float* from) {
    return each([&](int i) { return vld1q_f32(from + 4 * i); });
  }
  static NeonFloats load_first(const float* from, std::size_t count) {
    float lanes[16] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void store(float* to) const {
    for (int i = 0; i < 4; ++i) vst1q_f32(to + 4 * i, part[i]);
  }
  void store_first(float* to, std::size_t count) const {
    float lanes[16];
    store(lanes);
    for (std::size_t i = 0; i < count; ++i) to[i] = lanes[i];
  }

  friend NeonFloats operator+(const NeonFloats& a, const NeonFloats& b) {
    return each([&](int i) { return vaddq_f32(a.part[i], b.part[i]); });
  }
  friend NeonFloats operator-(const NeonFloats& a, const NeonFloats& b) {
    return each([&](int i) { return vsubq_f32(a.part[i], b.part[i]); });
  }
  friend NeonFloats operator*(const NeonFloats& a, const NeonFloats& b) {
    return each([&](int i) { return vmulq_f32(a.part[i], b.part[i]); });
  }
  friend NeonFloats operator/(const NeonFloats& a, const NeonFloats& b) {
    return each([&](int i) { return vdivq_f32(a.part[i], b.part[i]); });
  }
  static NeonFloats fused(const NeonFloats& a, const NeonFloats& b, const NeonFloats& c) {
    return each([&](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
  }
  static NeonFloats fused_from(const NeonFloats& a, const NeonFloats& b, const NeonFloats& c) {
    return each([&](int i) { return vfmsq_f32(c.part[i], a.part[i], b.part[i]); });
  }
  static NeonFloats product_error(const NeonFloats& a, const NeonFloats& b,
                                  const NeonFloats& product) {
    return each([&](int i) { return vfmaq_f32(vnegq_f32(product.part[i]), a.part[i], b.part[i]); });
  }
  static NeonFloats larger(const NeonFloats& a, const NeonFloats& b) {
    return each([&](int i) { return vmaxq_f32(a.part[i], b.part[i]); });
  }
  static NeonFloats where_less(const NeonFloats& a, const NeonFloats& b, const NeonFloats& yes,
                               const NeonFloats& no) {
    return each(
        [&](int i) { return vbslq_f32(vcltq_f32(a.part[i], b.part[i]), yes.part[i], no.part[i]); });
  }
  static NeonFloats absolute(const NeonFloats& a) {
    return each([&](int i) { return vabsq_f32(a.part[i]); });
  }
  static NeonFloats nearest(const NeonFloats& a) {
    return each([&](int i) { return vrndnq_f32(a.part[i]); });
  }
  static NeonFloats times_power_of_two(const NeonFloats& a, const NeonFloats& n) {
    return each([&](int i) {
      const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n.part[i]), vdupq_n_s32(127));
      return vmulq_f32(a.part[i], vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
    });
  }
  static NeonFloats keep(const NeonFloats& a, int first, int last, float other) {
    const std::int32_t zero_to_three[4] = {0, 1, 2, 3};
    return each([&](int i) {
      const int32x4_t index = vaddq_s32(vld1q_s32(zero_to_three), vdupq_n_s32(4 * i));
      const uint32x4_t inside =
          vandq_u32(vcgeq_s32(index, vdupq_n_s32(first)), vcltq_s32(index, vdupq_n_s32(last)));
      return vbslq_f32(inside, a.part[i], vdupq_n_f32(other));
    });
  }
  float sum() const {
    return vaddvq_f32(vaddq_f32(vaddq_f32(part[0], part[1]), vaddq_f32(part[2], part[3])));
  }
  float largest() const {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(part[0], part[1]), vmaxq_f32(part[2], part[3])));
  }
};

}  // namespace onnxlocal::ep
