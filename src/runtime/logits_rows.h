#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <onnxruntime_cxx_api.h>

#include "runtime/decoder.h"

namespace onnxlocal {

/// Appends row `row` of a graph's logits ([..., width] in `type`) to `out` as float32.
void append_logits_row(const std::byte* logits, ONNXTensorElementDataType type, std::size_t row,
                       std::size_t width, std::vector<float>& out);

/// Rows that the steps get.
std::uint32_t count_rows(std::span<const Step> steps);

}  // namespace onnxlocal
