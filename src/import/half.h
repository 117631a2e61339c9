#pragma once

#include <cstdint>

namespace onnxlocal {

/// IEEE 754 binary16 to binary32: exact.
float half_to_float(std::uint16_t half);
/// To the nearest, ties to even; too large becomes infinity, NaN stays NaN.
std::uint16_t float_to_half(float value);

/// bfloat16 (the upper half of a binary32): exact.
float bfloat16_to_float(std::uint16_t value);
/// To the nearest, ties to even; NaN stays NaN (made quiet).
std::uint16_t float_to_bfloat16(float value);

}  // namespace onnxlocal
