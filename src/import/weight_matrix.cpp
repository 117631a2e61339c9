#include "import/weight_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "import/dequantize.h"

namespace onnxlocal {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{256} << 10;

/// A row of the file in the form of one plane. `out` has exactly the plane's bytes of a row.
template <class T>
std::span<T> as_span(std::span<std::byte> bytes) {
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

std::int64_t dim(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace

std::uint64_t source_row(RowOrder order, std::uint64_t head_dim, std::uint64_t row) {
  if (order == RowOrder::kHalves) return row;
  const auto half = head_dim / 2;
  const auto in_head = row % head_dim;
  return row - in_head + in_head % half * 2 + in_head / half;
}

WeightMatrix::WeightMatrix(std::vector<MatrixPart> parts) : parts_(std::move(parts)) {
  CHECK(!parts_.empty());
  const auto& first = *parts_.front().tensor;
  columns_ = first.shape.front();
  auto layout = weight_layout(first.type);
  CHECK(layout.has_value());
  layout_ = *layout;
  for (const auto& part : parts_) {
    CHECK(part.tensor->type == first.type && part.tensor->shape.front() == columns_);
    rows_ += part.tensor->value_count() / columns_;
    if (!name_.empty()) name_ += "+";
    name_ += part.tensor->name;
  }
}

std::string WeightMatrix::plane_name(Plane plane) const {
  switch (plane) {
    case Plane::kQuants: return name_ + ".quants";
    case Plane::kScales: return name_ + ".scales";
    case Plane::kZeroPoints: return name_ + ".zero_points";
    case Plane::kFloats: break;
  }
  return name_;
}

std::uint64_t WeightMatrix::plane_row_bytes(Plane plane) const {
  switch (plane) {
    case Plane::kQuants: return layout_.quant_bytes(columns_);
    case Plane::kScales:
    case Plane::kZeroPoints: return columns_ / kQuantBlockValues * sizeof(float);
    case Plane::kFloats: break;
  }
  return columns_ * sizeof(float);
}

ByteSource WeightMatrix::plane_source(Plane plane) const {
  const auto row_bytes = plane_row_bytes(plane);
  return [parts = parts_, plane, row_bytes](const ByteSink& sink) -> Result<void> {
    std::vector<std::byte> piece(std::max(kPieceBytes / row_bytes, std::uint64_t{1}) * row_bytes);
    std::size_t filled = 0;
    for (const auto& part : parts) {
      const auto type = part.tensor->type;
      const auto rows = part.tensor->value_count() / part.tensor->shape.front();
      const auto source_bytes = part.tensor->data.size() / rows;
      for (std::uint64_t row = 0; row < rows; ++row) {
        const auto from = source_row(part.order, rows / part.heads, row);
        const auto source = part.tensor->data.subspan(from * source_bytes, source_bytes);
        const auto out = std::span(piece).subspan(filled, row_bytes);
        switch (plane) {
          case Plane::kQuants: pack_quants(type, source, as_span<std::uint8_t>(out)); break;
          case Plane::kScales: pack_scales(type, source, as_span<float>(out)); break;
          case Plane::kZeroPoints: pack_zero_points(type, source, as_span<float>(out)); break;
          case Plane::kFloats: TRY_VOID(dequantize(type, source, as_span<float>(out))); break;
        }
        filled += row_bytes;
        if (filled < piece.size()) continue;
        TRY_VOID(sink(piece));
        filled = 0;
      }
    }
    return sink(std::span(piece).first(filled));
  };
}

std::string WeightMatrix::add_plane(GraphBuilder& graph, Plane plane,
                                    std::vector<std::int64_t> dims) const {
  const int type = plane == Plane::kQuants ? onnx::TensorProto::UINT8 : onnx::TensorProto::FLOAT;
  return graph.external(plane_name(plane), type, std::move(dims), plane_row_bytes(plane) * rows_,
                        plane_source(plane));
}

ValueName WeightMatrix::product_node(GraphBuilder& graph, std::vector<ValueName> inputs,
                                     const ValueName& output) const {
  return graph.value("MatMulNBits", std::move(inputs), output,
                     {{"K", dim(columns_)},
                      {"N", dim(rows_)},
                      {"bits", std::int64_t{layout_.bits}},
                      {"block_size", std::int64_t{kQuantBlockValues}},
                      // int8 activations: what llama.cpp does with these types too.
                      {"accuracy_level", std::int64_t{4}}},
                     kMicrosoftDomain);
}

ValueName WeightMatrix::add_product(GraphBuilder& graph, const ValueName& input,
                                    const ValueName& output) const {
  if (!layout_.is_quantized()) {
    const auto weights = add_plane(graph, Plane::kFloats, {dim(rows_), dim(columns_)});
    return graph.value("FusedMatMul", {input, weights}, output, {{"transB", std::int64_t{1}}},
                       kMicrosoftDomain);
  }
  const auto blocks = columns_ / kQuantBlockValues;
  std::vector<ValueName> inputs = {input};
  inputs.push_back(
      add_plane(graph, Plane::kQuants,
                {dim(rows_), dim(blocks), dim(layout_.quant_bytes(kQuantBlockValues))}));
  inputs.push_back(add_plane(graph, Plane::kScales, {dim(rows_ * blocks)}));
  if (layout_.has_zero_points) {
    inputs.push_back(add_plane(graph, Plane::kZeroPoints, {dim(rows_ * blocks)}));
  }
  return product_node(graph, std::move(inputs), output);
}

// GatherBlockQuantized takes zero-points of the data's own type only, so Q4_1 is looked up as
// float32.
bool WeightMatrix::table_is_float() const {
  return !layout_.is_quantized() || layout_.has_zero_points;
}

ValueName WeightMatrix::add_lookup(GraphBuilder& graph, const ValueName& ids,
                                   const ValueName& output) const {
  if (table_is_float()) {
    const auto table = add_plane(graph, Plane::kFloats, {dim(rows_), dim(columns_)});
    return graph.value("Gather", {table, ids}, output, {{"axis", std::int64_t{0}}});
  }
  const auto quants =
      add_plane(graph, Plane::kQuants, {dim(rows_), dim(layout_.quant_bytes(columns_))});
  const auto scales =
      add_plane(graph, Plane::kScales, {dim(rows_), dim(columns_ / kQuantBlockValues)});
  return graph.value("GatherBlockQuantized", {quants, ids, scales}, output,
                     {{"bits", std::int64_t{layout_.bits}},
                      {"block_size", std::int64_t{kQuantBlockValues}},
                      {"gather_axis", std::int64_t{0}},
                      {"quantize_axis", std::int64_t{1}}},
                     kMicrosoftDomain);
}

ValueName WeightMatrix::add_product_of_table(GraphBuilder& graph, const ValueName& input,
                                             const ValueName& output) const {
  if (!layout_.is_quantized()) {
    return graph.value("FusedMatMul", {input, plane_name(Plane::kFloats)}, output,
                       {{"transB", std::int64_t{1}}}, kMicrosoftDomain);
  }
  if (table_is_float()) return add_product(graph, input, output);
  const auto blocks = columns_ / kQuantBlockValues;
  const auto quants = plane_name(Plane::kQuants);
  const auto scales = plane_name(Plane::kScales);
  return product_node(
      graph,
      {input,
       graph.external_alias(quants + ".blocks", quants,
                            {dim(rows_), dim(blocks), dim(layout_.quant_bytes(kQuantBlockValues))}),
       graph.external_alias(scales + ".blocks", scales, {dim(rows_ * blocks)})},
      output);
}

}  // namespace onnxlocal
