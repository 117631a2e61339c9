#include "runtime/paged_logits.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "runtime/paged_model.h"

namespace onnxlocal {

namespace {

constexpr std::int64_t kRowsAxis = 1;

bool is_any(const std::string& op, std::initializer_list<std::string_view> ops) {
  return std::ranges::find(ops, op) != ops.end();
}

/// Values that are the same in every run: initializers, and what is computed of them alone.
std::set<std::string> constants_of(const onnx::GraphProto& graph) {
  std::set<std::string> names;
  for (const onnx::TensorProto& tensor : graph.initializer()) names.insert(tensor.name());
  for (const onnx::NodeProto& node : graph.node()) {
    if (std::ranges::all_of(node.input(), [&](const std::string& name) {
          return name.empty() || names.contains(name);
        })) {
      names.insert(node.output().begin(), node.output().end());
    }
  }
  return names;
}

/// The node that makes the value, or -1.
int producer_of(const onnx::GraphProto& graph, std::string_view value) {
  for (int i = 0; i < graph.node_size(); ++i) {
    const auto& outputs = graph.node(i).output();
    if (std::ranges::find(outputs, value) != outputs.end()) return i;
  }
  return -1;
}

/// The graph's own gather of the wanted positions, fed by us from now on.
Result<void> use_own_positions(onnx::GraphProto& graph, const std::string& positions) {
  bool has_gather = false;
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (int i = 0; i < node.input_size(); ++i) {
      if (node.input(i) != positions) continue;
      const bool is_rows_gather =
          node.op_type() == "Gather" && i == 1 &&
          std::ranges::any_of(node.attribute(), [](const onnx::AttributeProto& attribute) {
            return attribute.name() == "axis" && attribute.i() == kRowsAxis;
          });
      if (!is_rows_gather) {
        return std::unexpected(unsupported(
            fmt::format("'{}' is read by {}, not by a Gather of rows", positions, node.op_type())));
      }
      node.set_input(i, kRowsInput);
      has_gather = true;
    }
  }
  if (!has_gather) {
    return std::unexpected(unsupported(fmt::format("nothing reads '{}'", positions)));
  }
  return {};
}

/// The last matrix product before the logits: what follows it works on each number alone.
Result<int> find_output_matrix(const onnx::GraphProto& graph, const std::string& logits) {
  const std::set<std::string> constants = constants_of(graph);
  std::string value = logits;
  constexpr int kNodesMax = 16;
  for (int i = 0; i < kNodesMax; ++i) {
    const int index = producer_of(graph, value);
    if (index < 0) break;
    const onnx::NodeProto& node = graph.node(index);
    if (is_any(node.op_type(), {"MatMul", "MatMulNBits", "Gemm"})) {
      if (node.input_size() < 2 || !constants.contains(node.input(1))) break;
      return index;
    }
    // Softcaps, scales, biases and changes of type.
    if (!is_any(node.op_type(), {"Cast", "Mul", "Div", "Add", "Sub", "Tanh", "Identity"})) break;
    const auto varies = [&](const std::string& name) { return !constants.contains(name); };
    if (std::ranges::count_if(node.input(), varies) != 1) break;
    const auto varying = std::ranges::find_if(node.input(), varies);
    value = *varying;
  }
  return std::unexpected(
      unsupported(fmt::format("no output matrix was found behind '{}'", logits)));
}

Result<void> insert_gather(onnx::GraphProto& graph, const std::string& logits) {
  TRY(const int place, find_output_matrix(graph, logits));
  onnx::NodeProto& matrix = *graph.mutable_node(place);
  constexpr const char* kWanted = "onnxlocal.wanted_rows";
  onnx::NodeProto gather;
  gather.set_op_type("Gather");
  gather.set_name(kWanted);
  gather.add_input(matrix.input(0));
  gather.add_input(kRowsInput);
  gather.add_output(kWanted);
  onnx::AttributeProto& axis = *gather.add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_i(kRowsAxis);
  matrix.set_input(0, kWanted);
  // Nodes stand in the order of their use.
  *graph.add_node() = std::move(gather);
  for (int i = graph.node_size() - 1; i > place; --i) {
    graph.mutable_node()->SwapElements(i, i - 1);
  }
  return {};
}

}  // namespace

Result<void> gather_logits(onnx::GraphProto& graph, const std::string& logits,
                           const std::string& positions) {
  const bool has_positions = std::ranges::any_of(graph.node(), [&](const onnx::NodeProto& node) {
    return std::ranges::find(node.input(), positions) != node.input().end();
  });
  if (has_positions) {
    TRY_VOID(use_own_positions(graph, positions));
  } else {
    TRY_VOID(insert_gather(graph, logits));
  }
  onnx::ValueInfoProto& rows = *graph.add_input();
  rows.set_name(kRowsInput);
  auto& tensor = *rows.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::INT64);
  tensor.mutable_shape()->add_dim()->set_dim_param("wanted");
  return {};
}

}  // namespace onnxlocal
