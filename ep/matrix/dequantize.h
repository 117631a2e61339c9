#pragma once

#include <cstddef>

#include "matrix/matrix_format.h"

namespace onnxlocal::ep {

/// Row `row` of the matrix as floats. The same bits for every instruction set.
void dequantize_row(const PackedMatrix& matrix, std::size_t row, float* out);

}  // namespace onnxlocal::ep
