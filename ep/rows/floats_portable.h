#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace onnxlocal::ep {

/// Sixteen floats in plain C++. The other Floats types have the same members; generic code is
/// written once over them. Each is used only in files compiled for its instruction set.
struct PortableFloats {
  float lane[16];

  template <class Function>
  static PortableFloats each(Function function) {
    PortableFloats result;
    for (std::size_t i = 0; i < 16; ++i) result.lane[i] = function(i);
    return result;
  }
  static PortableFloats all(float value) {
    return each([&](std::size_t) { return value; });
  }
  static PortableFloats load(const float* from) {
    return each([&](std::size_t i) { return from[i]; });
  }
  /// The first `count` lanes; zero in the others, which are not read.
  static PortableFloats load_first(const float* from, std::size_t count) {
    return each([&](std::size_t i) { return i < count ? from[i] : 0.0F; });
  }
  void store(float* to) const {
    for (std::size_t i = 0; i < 16; ++i) to[i] = lane[i];
  }
  void store_first(float* to, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) to[i] = lane[i];
  }

  friend PortableFloats operator+(const PortableFloats& a, const PortableFloats& b) {
    return each([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
  }
  friend PortableFloats operator-(const PortableFloats& a, const PortableFloats& b) {
    return each([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
  }
  friend PortableFloats operator*(const PortableFloats& a, const PortableFloats& b) {
    return each([&](std::size_t i) { return a.lane[i] * b.lane[i]; });
  }
  friend PortableFloats operator/(const PortableFloats& a, const PortableFloats& b) {
    return each([&](std::size_t i) { return a.lane[i] / b.lane[i]; });
  }
  /// a * b + c, in one rounding where the set can.
  static PortableFloats fused(const PortableFloats& a, const PortableFloats& b,
                              const PortableFloats& c) {
    return each([&](std::size_t i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }
  /// c - a * b
  static PortableFloats fused_from(const PortableFloats& a, const PortableFloats& b,
                                   const PortableFloats& c) {
    return each([&](std::size_t i) { return c.lane[i] - a.lane[i] * b.lane[i]; });
  }
  /// a * b - product: what rounding the product lost.
  static PortableFloats product_error(const PortableFloats& a, const PortableFloats& b,
                                      const PortableFloats& product) {
    return each([&](std::size_t i) {
      const double exact = static_cast<double>(a.lane[i]) * static_cast<double>(b.lane[i]);
      return static_cast<float>(exact - static_cast<double>(product.lane[i]));
    });
  }
  /// The larger; b, or NaN, where one is NaN.
  static PortableFloats larger(const PortableFloats& a, const PortableFloats& b) {
    return each([&](std::size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static PortableFloats where_less(const PortableFloats& a, const PortableFloats& b,
                                   const PortableFloats& yes, const PortableFloats& no) {
    return each([&](std::size_t i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
  }
  static PortableFloats absolute(const PortableFloats& a) {
    return each([&](std::size_t i) {
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(a.lane[i]) & 0x7fff'ffffU);
    });
  }
  /// To the nearest integer, for magnitudes below 2^22.
  static PortableFloats nearest(const PortableFloats& a) {
    return each([&](std::size_t i) { return (a.lane[i] + kMagic) - kMagic; });
  }
  /// a * 2^n; n: integers in [-127, 127], of which -127 may give zero.
  static PortableFloats times_power_of_two(const PortableFloats& a, const PortableFloats& n) {
    return each([&](std::size_t i) {
      const std::uint32_t exponent =
          std::bit_cast<std::uint32_t>(n.lane[i] + kMagic) - std::bit_cast<std::uint32_t>(kMagic);
      return a.lane[i] * std::bit_cast<float>((exponent + 127U) << 23U);
    });
  }
  /// Lanes in [first, last) stay, the others become `other`.
  static PortableFloats keep(const PortableFloats& a, int first, int last, float other) {
    return each([&](std::size_t i) {
      const int index = static_cast<int>(i);
      return index >= first && index < last ? a.lane[i] : other;
    });
  }
  float sum() const {
    float part[8];
    for (std::size_t i = 0; i < 8; ++i) part[i] = lane[i] + lane[i + 8];
    for (std::size_t i = 0; i < 4; ++i) part[i] += part[i + 4];
    return (part[0] + part[2]) + (part[1] + part[3]);
  }
  float largest() const {
    float result = lane[0];
    for (std::size_t i = 1; i < 16; ++i) result = lane[i] > result ? lane[i] : result;
    return result;
  }

 private:
  /// 1.5 * 2^23: adding it leaves an integer in the low bits.
  static constexpr float kMagic = 12582912.0F;
};

}  // namespace onnxlocal::ep
