#pragma once

#include <cstddef>
#include <cstdint>

#include "rows/floats_portable.h"

namespace onnxlocal::ep {

/// Plain C++.
struct PortableBytes {
  using Floats = PortableFloats;
  struct Line {
    std::int8_t bytes[64];
  };
  struct Quad {
    std::int8_t bytes[4];
  };
  struct Sums {
    std::int32_t lane[16];
  };
  static constexpr std::size_t kScoreRows = 2;
  static constexpr std::size_t kScoreVectors = 1;
  static constexpr std::size_t kValueRows = 2;
  static constexpr std::size_t kValueVectors = 1;

  static Line line(const std::byte* from) {
    Line line;
    __builtin_memcpy(line.bytes, from, sizeof line.bytes);
    return line;
  }
  static Quad quad(const std::int8_t* from) { return {{from[0], from[1], from[2], from[3]}}; }
  static Sums start(std::int32_t /*total*/) { return {}; }
  static void add_dot(Sums& sums, const Line& a, Quad b) {
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t j = 0; j < 4; ++j) sums.lane[i] += a.bytes[4 * i + j] * b.bytes[j];
    }
  }
  static Floats floats(const Sums& sums) {
    return Floats::each([&](std::size_t i) { return static_cast<float>(sums.lane[i]); });
  }
  static void store(const Floats& integers, std::int8_t* to) {
    for (std::size_t i = 0; i < 16; ++i) to[i] = static_cast<std::int8_t>(integers.lane[i]);
  }
};

}  // namespace onnxlocal::ep
