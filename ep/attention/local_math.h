#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace onnxlocal::ep {

/// Not the standard library's: an inline function that all files share could be kept in the form
/// of the fastest set.
template <class Dot>
struct LocalMath {
  template <class T>
  static T least(T a, T b) {
    return b < a ? b : a;
  }
  template <class T>
  static T most(T a, T b) {
    return a < b ? b : a;
  }
  static void copy(const float* from, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
  }
  /// The largest magnitude: infinite or NaN where one of the numbers is.
  static float largest_magnitude(const float* from, std::size_t n) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      largest = most(largest, std::bit_cast<std::uint32_t>(from[i]) & 0x7fff'ffffU);
    }
    return std::bit_cast<float>(largest);
  }
  static bool is_finite(float magnitude) {
    return std::bit_cast<std::uint32_t>(magnitude) < 0x7f80'0000U;
  }
};

}  // namespace onnxlocal::ep
