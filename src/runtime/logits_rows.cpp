#include "runtime/logits_rows.h"

#include <bit>
#include <cstring>

#include "runtime/graph_inspection.h"

namespace onnxlocal {

namespace {

std::uint16_t load_half(const std::byte* at) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof(bits));
  return bits;
}

}  // namespace

void append_logits_row(const std::byte* logits, ONNXTensorElementDataType type, std::size_t row,
                       std::size_t width, std::vector<float>& out) {
  const std::size_t begin = out.size();
  const std::byte* const from = logits + row * width * element_bytes(type);
  out.resize(begin + width);
  float* const to = out.data() + begin;
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
    std::memcpy(to, from, width * sizeof(float));
  } else if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16) {
    for (std::size_t i = 0; i < width; ++i) {
      to[i] = Ort::Float16_t::FromBits(load_half(from + 2 * i)).ToFloat();
    }
  } else {
    for (std::size_t i = 0; i < width; ++i) {
      to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(load_half(from + 2 * i)) << 16);
    }
  }
}

std::uint32_t count_rows(std::span<const Step> steps) {
  std::size_t rows = 0;
  for (const Step& step : steps) {
    if (step.logits == LogitsWanted::kLast) ++rows;
    if (step.logits == LogitsWanted::kAll) rows += step.tokens.size();
  }
  return static_cast<std::uint32_t>(rows);
}

}  // namespace onnxlocal
