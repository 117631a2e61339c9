#include "runtime/paged_model.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "runtime/paged_attention.h"
#include "runtime/paged_logits.h"

namespace onnxlocal {

namespace {

/// Operators that compute every row (token) of [1, rows, ...] from that row alone. Rows of several
/// sequences lie in one run, so any other operator might mix them.
bool keeps_rows_apart(std::string_view op) {
  static const std::set<std::string_view> kOps{kPagedAttentionOp,
                                               "MatMul",
                                               "MatMulNBits",
                                               "Gemm",
                                               "MoE",
                                               "QMoE",
                                               "Add",
                                               "Sub",
                                               "Mul",
                                               "Div",
                                               "Pow",
                                               "Sqrt",
                                               "Neg",
                                               "Exp",
                                               "Log",
                                               "Erf",
                                               "Min",
                                               "Max",
                                               "Where",
                                               "Clip",
                                               "Reciprocal",
                                               "Sigmoid",
                                               "Tanh",
                                               "Relu",
                                               "Gelu",
                                               "FastGelu",
                                               "QuickGelu",
                                               "BiasGelu",
                                               "Swish",
                                               "Softplus",
                                               "HardSigmoid",
                                               "Softmax",
                                               "LayerNormalization",
                                               "SimplifiedLayerNormalization",
                                               "RMSNormalization",
                                               "SkipLayerNormalization",
                                               "SkipSimplifiedLayerNormalization",
                                               "RotaryEmbedding",
                                               "Cast",
                                               "Identity",
                                               "Reshape",
                                               "Transpose",
                                               "Unsqueeze",
                                               "Squeeze",
                                               "Split",
                                               "Concat",
                                               "Shape",
                                               "Constant",
                                               "Gather",
                                               "GatherBlockQuantized",
                                               "DequantizeLinear"};
  return kOps.contains(op);
}

/// Drops the nodes that no output needs.
void drop_dead_nodes(onnx::GraphProto& graph) {
  std::unordered_map<std::string, int> producers;
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& output : graph.node(i).output()) producers.emplace(output, i);
  }
  std::vector<bool> is_live(static_cast<std::size_t>(graph.node_size()), false);
  std::vector<std::string> wanted;
  for (const onnx::ValueInfoProto& output : graph.output()) wanted.push_back(output.name());
  while (!wanted.empty()) {
    const auto found = producers.find(wanted.back());
    wanted.pop_back();
    if (found == producers.end() || is_live[static_cast<std::size_t>(found->second)]) continue;
    is_live[static_cast<std::size_t>(found->second)] = true;
    const onnx::NodeProto& node = graph.node(found->second);
    wanted.insert(wanted.end(), node.input().begin(), node.input().end());
  }
  google::protobuf::RepeatedPtrField<onnx::NodeProto> kept;
  for (int i = 0; i < graph.node_size(); ++i) {
    if (is_live[static_cast<std::size_t>(i)]) kept.Add(std::move(*graph.mutable_node(i)));
  }
  graph.mutable_node()->Swap(&kept);
}

template <class Field>
void keep_named(Field& values, const std::set<std::string>& names) {
  Field kept;
  for (auto& value : values) {
    if (names.contains(value.name())) kept.Add(std::move(value));
  }
  values.Swap(&kept);
}

/// Drops inputs, initializers and descriptions of values that are no longer there.
void drop_unused_values(onnx::GraphProto& graph) {
  std::set<std::string> read;
  std::set<std::string> there;
  for (const onnx::NodeProto& node : graph.node()) {
    read.insert(node.input().begin(), node.input().end());
    there.insert(node.output().begin(), node.output().end());
  }
  there.insert(read.begin(), read.end());
  keep_named(*graph.mutable_initializer(), read);
  keep_named(*graph.mutable_input(), read);
  keep_named(*graph.mutable_value_info(), there);
  // Initializers that were inputs too, as old files have them, stay constants.
  std::set<std::string> inputs;
  for (const onnx::ValueInfoProto& input : graph.input()) inputs.insert(input.name());
  for (const onnx::TensorProto& tensor : graph.initializer()) inputs.erase(tensor.name());
  keep_named(*graph.mutable_input(), inputs);
}

Result<void> check_nodes(const onnx::GraphProto& graph) {
  std::set<std::string> constants;
  for (const onnx::TensorProto& tensor : graph.initializer()) constants.insert(tensor.name());
  for (const onnx::NodeProto& node : graph.node()) {
    if (!keeps_rows_apart(node.op_type())) {
      return std::unexpected(
          unsupported(fmt::format("the operator {} ('{}') may mix the tokens of several sequences",
                                  node.op_type(), node.name())));
    }
    // A table is looked up, or the wanted rows are picked.
    const bool picks_rows = node.op_type() == "Gather" && node.input_size() > 1 &&
                            node.input(1) != kRowsInput && !constants.contains(node.input(0));
    const bool is_of_shape =
        picks_rows && std::ranges::any_of(graph.node(), [&](const onnx::NodeProto& other) {
          return other.op_type() == "Shape" && other.output(0) == node.input(0);
        });
    if (picks_rows && !is_of_shape) {
      return std::unexpected(
          unsupported(fmt::format("the Gather '{}' picks tokens of its own", node.name())));
    }
  }
  return {};
}

Result<void> check_inputs(const onnx::GraphProto& graph, const GraphNames& names) {
  const std::set<std::string> fed{names.input_ids, names.position_ids, kPagesInput, kStartsInput,
                                  kPastInput,      kTableInput,        kRowsInput};
  for (const onnx::ValueInfoProto& input : graph.input()) {
    if (fed.contains(input.name())) continue;
    return std::unexpected(unsupported(
        fmt::format("the graph reads its input '{}' outside of attention", input.name())));
  }
  return {};
}

void set_shape(onnx::ValueInfoProto& value, const char* rows) {
  auto& shape = *value.mutable_type()->mutable_tensor_type()->mutable_shape();
  if (shape.dim_size() < 2) return;
  shape.mutable_dim(0)->set_dim_value(1);
  shape.mutable_dim(1)->set_dim_param(rows);
}

onnx::ValueInfoProto* find(google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values,
                           const std::string& name) {
  const auto found = std::ranges::find_if(
      values, [&name](const onnx::ValueInfoProto& value) { return value.name() == name; });
  return found == values.end() ? nullptr : &*found;
}

/// Type and width of the logits, and the shapes of what goes in and out.
Result<void> describe_ports(onnx::GraphProto& graph, const ModelConfig& config, PagedModel& paged) {
  onnx::ValueInfoProto* const ids = find(*graph.mutable_input(), config.names.input_ids);
  onnx::ValueInfoProto* const logits = find(*graph.mutable_output(), config.names.logits);
  if (ids == nullptr || logits == nullptr) {
    return std::unexpected(model_corrupt(fmt::format("the graph has no '{}' or no '{}'",
                                                     config.names.input_ids, config.names.logits)));
  }
  set_shape(*ids, "rows");
  set_shape(*logits, "wanted");
  onnx::ValueInfoProto* const positions = find(*graph.mutable_input(), config.names.position_ids);
  paged.has_position_ids = positions != nullptr;
  if (positions != nullptr) set_shape(*positions, "rows");
  for (const onnx::ValueInfoProto* port : {ids, positions}) {
    if (port != nullptr && port->type().tensor_type().elem_type() != onnx::TensorProto::INT64) {
      return std::unexpected(unsupported(fmt::format("the input '{}' is not int64", port->name())));
    }
  }
  constexpr int kVocabularyAxis = 2;
  const auto& tensor = logits->type().tensor_type();
  paged.logits_type = tensor.elem_type();
  paged.vocabulary_size = config.vocabulary_size;
  if (tensor.shape().dim_size() > kVocabularyAxis &&
      tensor.shape().dim(kVocabularyAxis).dim_value() > 0) {
    paged.vocabulary_size =
        static_cast<std::uint32_t>(tensor.shape().dim(kVocabularyAxis).dim_value());
  }
  const bool is_number = paged.logits_type == onnx::TensorProto::FLOAT ||
                         paged.logits_type == onnx::TensorProto::FLOAT16 ||
                         paged.logits_type == onnx::TensorProto::BFLOAT16;
  if (!is_number || paged.vocabulary_size == 0) {
    return std::unexpected(unsupported("the logits have no type or width that we know"));
  }
  return {};
}

}  // namespace

Result<PagedModel> make_paged_model(const onnx::ModelProto& model, const ModelConfig& config,
                                    const std::filesystem::path& folder, KvCacheType type) {
  onnx::ModelProto copy = model;
  onnx::GraphProto& graph = *copy.mutable_graph();
  PagedModel paged;
  TRY(paged.geometry, page_attention(graph, config.names.position_ids, config.head_dim, type));
  TRY_VOID(gather_logits(graph, config.names.logits, config.names.logits_positions));
  keep_named(*graph.mutable_output(), {config.names.logits, kPagesOutput});
  drop_dead_nodes(graph);
  drop_unused_values(graph);
  TRY_VOID(check_nodes(graph));
  TRY_VOID(check_inputs(graph, config.names));
  TRY_VOID(describe_ports(graph, config, paged));
  TRY(paged.rope_id, identify_rotation(graph, folder));
  onnx::OperatorSetIdProto& domain = *copy.add_opset_import();
  domain.set_domain(kPagedDomain);
  domain.set_version(1);
  // The graph alone is serialized; a protobuf message ends at 2 GB.
  if (!copy.SerializeToString(&paged.bytes)) {
    return std::unexpected(unsupported("the graph holds too many weights of its own"));
  }
  return paged;
}

}  // namespace onnxlocal
