#include "runtime/slow_matrix.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <onnx/onnx_pb.h>

namespace onnxlocal {

namespace {

using Initializers = std::unordered_map<std::string, onnx::TensorProto*>;

Initializers initializers_of(onnx::GraphProto& graph) {
  Initializers found;
  for (onnx::TensorProto& tensor : *graph.mutable_initializer()) found[tensor.name()] = &tensor;
  return found;
}

std::int64_t attribute_of(const onnx::NodeProto& node, std::string_view name,
                          std::int64_t otherwise) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return attribute.i();
  }
  return otherwise;
}

bool has_bytes(const onnx::TensorProto& tensor) {
  return is_external(tensor) || tensor.has_raw_data();
}

std::optional<SlowMatrix> as_slow_matrix(onnx::NodeProto& node, const Initializers& tensors) {
  if (node.op_type() != "MatMulNBits" || node.input_size() <= kZeroPointsInput) return {};
  const auto tensor = [&](int input) -> const onnx::TensorProto* {
    const auto found = tensors.find(node.input(input));
    return found == tensors.end() ? nullptr : found->second;
  };
  SlowMatrix matrix{.node = &node,
                    .weights = tensor(kWeightsInput),
                    .scales = tensor(kScalesInput),
                    .zero_points = tensor(kZeroPointsInput),
                    .rows = attribute_of(node, "N", 0),
                    .blocks = 0,
                    .block_size = attribute_of(node, "block_size", 0)};
  if (matrix.weights == nullptr || matrix.scales == nullptr || matrix.zero_points == nullptr) {
    return {};
  }
  const std::int64_t columns = attribute_of(node, "K", 0);
  const bool is_sized = matrix.rows > 0 && matrix.block_size >= 16 && matrix.block_size <= 256 &&
                        columns > 0 && columns % matrix.block_size == 0;
  if (!is_sized || attribute_of(node, "bits", 4) != 4) return {};
  matrix.blocks = columns / matrix.block_size;
  const bool is_typed = matrix.weights->data_type() == onnx::TensorProto::UINT8 &&
                        matrix.scales->data_type() == onnx::TensorProto::FLOAT &&
                        matrix.zero_points->data_type() == onnx::TensorProto::FLOAT;
  const std::int64_t blocks = matrix.rows * matrix.blocks;
  const bool is_whole = elements_of(*matrix.weights) == blocks * matrix.block_size / 2 &&
                        elements_of(*matrix.scales) == blocks &&
                        elements_of(*matrix.zero_points) == blocks && has_bytes(*matrix.weights) &&
                        has_bytes(*matrix.scales) && has_bytes(*matrix.zero_points);
  if (!is_typed || !is_whole) return {};
  return matrix;
}

}  // namespace

bool is_external(const onnx::TensorProto& tensor) {
  return tensor.data_location() == onnx::TensorProto::EXTERNAL;
}

std::int64_t elements_of(const onnx::TensorProto& tensor) {
  std::int64_t elements = 1;
  for (const std::int64_t dim : tensor.dims()) elements *= dim;
  return elements;
}

std::vector<SlowMatrix> slow_matrices(onnx::GraphProto& graph) {
  const Initializers tensors = initializers_of(graph);
  std::vector<SlowMatrix> found;
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (auto matrix = as_slow_matrix(node, tensors)) found.push_back(*matrix);
  }
  return found;
}

bool has_inner_graphs(const onnx::GraphProto& graph) {
  return std::ranges::any_of(graph.node(), [](const onnx::NodeProto& node) {
    return std::ranges::any_of(node.attribute(), [](const onnx::AttributeProto& attribute) {
      return attribute.has_g() || (attribute.has_t() && is_external(attribute.t()));
    });
  });
}

}  // namespace onnxlocal
