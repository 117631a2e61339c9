#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

namespace onnxlocal::ep {

/// A fuzz target's input as sizes and numbers. Where it has ended, they follow from a hash of it,
/// so that a few bytes fill a matrix.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {
    for (std::size_t i = 0; i < size; ++i) state_ = (state_ ^ data[i]) * 0x100000001b3U;
  }

  /// In [first, last].
  std::uint32_t between(std::uint32_t first, std::uint32_t last) {
    return first + bits() % (last - first + 1);
  }
  bool flag() { return bits() % 2 != 0; }
  template <class Values>
  auto pick(const Values& values) {
    return values[bits() % std::size(values)];
  }
  /// Zero, or of magnitude [2^-spread, 2^(spread + 1)).
  float number(unsigned spread) {
    const std::uint32_t from = bits();
    const auto exponent = static_cast<int>((from >> 9U) % (2 * spread + 1));
    if (from >> 9U == 127) return 0;
    const float mantissa = 1 + static_cast<float>(from & 0xffU) / 256;
    return std::ldexp((from & 0x100U) != 0 ? -mantissa : mantissa,
                      exponent - static_cast<int>(spread));
  }
  std::vector<float> numbers(std::size_t count, unsigned spread) {
    std::vector<float> values(count);
    for (float& value : values) value = number(spread);
    return values;
  }

 private:
  /// Sixteen of them.
  std::uint32_t bits() {
    if (left_ >= 2) {
      const std::uint32_t value = data_[0] | static_cast<std::uint32_t>(data_[1]) << 8U;
      data_ += 2;
      left_ -= 2;
      return value;
    }
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state_ >> 48U);
  }

  const std::uint8_t* data_;
  std::size_t left_;
  std::uint64_t state_ = 0xcbf29ce484222325U;
};

/// What a target's property comes to: the fuzzer sees the trap.
inline void expect(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace onnxlocal::ep
