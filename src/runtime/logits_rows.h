#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <onnxruntime_cxx_api.h>

#include "base/result.h"
#include "runtime/decoder.h"

namespace onnxlocal {

/// Appends row `row` of a graph's logits ([..., width] in `type`) to `out` as float32.
void append_logits_row(const std::byte* logits, ONNXTensorElementDataType type, std::size_t row,
                       std::size_t width, std::vector<float>& out);

/// A graph's logits [batch, positions, vocabulary]; borrows its tensor's bytes.
struct LogitsTensor {
  const std::byte* data = nullptr;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  std::size_t positions = 0;
  std::size_t vocabulary = 0;
};
/// Errors: internal (another shape). Throws Ort::Exception, as what it is called from catches.
Result<LogitsTensor> view_logits(const Ort::Value& logits, ONNXTensorElementDataType type,
                                 std::size_t batch, std::size_t vocabulary);

/// Appends the rows that a step wants, of the batch's sequence `index`, to `out` as float32.
/// Errors: unsupported (it wants all, and the graph gives the last one alone).
Result<void> append_wanted_rows(const LogitsTensor& logits, std::size_t index, const Step& step,
                                std::vector<float>& out);

/// Rows that the steps get.
std::uint32_t count_rows(std::span<const Step> steps);

}  // namespace onnxlocal
