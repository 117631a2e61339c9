#include "runtime/logits_rows.h"

#include <bit>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

Result<LogitsTensor> view_logits(const Ort::Value& logits, ONNXTensorElementDataType type,
                                 std::size_t batch, std::size_t vocabulary) {
  const auto shape = logits.GetTensorTypeAndShapeInfo().GetShape();
  if (shape.size() != 3 || shape[0] != static_cast<std::int64_t>(batch) || shape[1] < 1 ||
      shape[2] != static_cast<std::int64_t>(vocabulary)) {
    return std::unexpected(internal_error(
        fmt::format("the model's logits have an unexpected shape [{}]", fmt::join(shape, ", "))));
  }
  return LogitsTensor{.data = static_cast<const std::byte*>(logits.GetTensorRawData()),
                      .type = type,
                      .positions = static_cast<std::size_t>(shape[1]),
                      .vocabulary = vocabulary};
}

Result<void> append_wanted_rows(const LogitsTensor& logits, std::size_t index, const Step& step,
                                std::vector<float>& out) {
  if (step.logits == LogitsWanted::kNone) return {};
  const bool wants_all = step.logits == LogitsWanted::kAll;
  if (wants_all && logits.positions != step.tokens.size()) {
    return std::unexpected(unsupported("the model gives logits for the last position alone"));
  }
  const std::size_t end = (index + 1) * logits.positions;
  for (std::size_t row = end - (wants_all ? logits.positions : 1); row < end; ++row) {
    append_logits_row(logits.data, logits.type, row, logits.vocabulary, out);
  }
  return {};
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
