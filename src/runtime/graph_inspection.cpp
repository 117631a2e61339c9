#include "runtime/graph_inspection.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "runtime/graph_ports.h"
#include "runtime/ort_error.h"

namespace onnxlocal {

namespace {

Result<const Port*> need_port(const std::vector<Port>& ports, const std::string& name,
                              const char* kind) {
  const Port* const port = find_port(ports, name);
  if (port != nullptr) return port;
  std::string there;
  for (const Port& other : ports) {
    if (there.size() > 200) {
      there += ", ...";
      break;
    }
    there += (there.empty() ? "" : ", ") + other.name;
  }
  return std::unexpected(
      model_corrupt(fmt::format("the graph has no {} '{}' (it has {})", kind, name, there),
                    "the names in genai_config.json must be the graph's own"));
}

bool is_float_type(ONNXTensorElementDataType type) {
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ||
         type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 ||
         type == ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
}

/// The shape's own number, or the configuration's where the graph leaves it open.
std::uint32_t dimension(const Port& port, std::size_t index, std::uint32_t otherwise) {
  if (index >= port.shape.size() || port.shape[index] <= 0) return otherwise;
  return static_cast<std::uint32_t>(port.shape[index]);
}

Result<void> check_inputs(const std::vector<Port>& inputs, const ModelConfig& config) {
  std::vector<std::string> known{config.names.input_ids, config.names.attention_mask,
                                 config.names.position_ids, config.names.logits_positions,
                                 kUseCacheBranch};
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    known.push_back(layer_name(config.names.past_key, layer));
    known.push_back(layer_name(config.names.past_value, layer));
  }
  for (const Port& input : inputs) {
    if (std::ranges::find(known, input.name) != known.end()) continue;
    return std::unexpected(unsupported(
        fmt::format("the graph asks for an input '{}' that a text decoder does not have",
                    input.name),
        "only decoders that take tokens are supported"));
  }
  return {};
}

Result<GraphInterface> inspect(const Ort::Session& session, const ModelConfig& config) {
  const std::vector<Port> inputs = inputs_of(session);
  const std::vector<Port> outputs = outputs_of(session);
  const GraphNames& names = config.names;
  TRY_VOID(check_inputs(inputs, config));
  TRY_VOID(need_port(inputs, names.input_ids, "input"));
  TRY(const Port* const logits, need_port(outputs, names.logits, "output"));
  if (config.layers == 0) {
    return std::unexpected(model_corrupt("the configuration says that the model has no layers"));
  }
  const Port* past = nullptr;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    TRY(past, need_port(inputs, layer_name(names.past_key, layer), "input"));
    TRY_VOID(need_port(inputs, layer_name(names.past_value, layer), "input"));
    TRY_VOID(need_port(outputs, layer_name(names.present_key, layer), "output"));
    TRY_VOID(need_port(outputs, layer_name(names.present_value, layer), "output"));
  }
  GraphInterface graph;
  const std::vector<std::string> optional = session.GetOverridableInitializerNames();
  const auto has_input = [&](const std::string& name) {
    return find_port(inputs, name) != nullptr ||
           std::ranges::find(optional, name) != optional.end();
  };
  graph.has_attention_mask = has_input(names.attention_mask);
  graph.has_position_ids = has_input(names.position_ids);
  graph.has_logits_positions = has_input(names.logits_positions);
  graph.has_use_cache_branch = has_input(kUseCacheBranch);
  graph.kv_type = past->type;
  graph.logits_type = logits->type;
  graph.layers = config.layers;
  graph.kv_heads = dimension(*past, 1, config.kv_heads);
  graph.head_dim = dimension(*past, 3, config.head_dim);
  graph.vocabulary_size = dimension(*logits, 2, config.vocabulary_size);
  if (!is_float_type(graph.kv_type) || !is_float_type(graph.logits_type)) {
    return std::unexpected(
        unsupported("the graph's keys, values or logits are not floating-point numbers",
                    "export it with float32, float16 or bfloat16 keys and values"));
  }
  if (graph.kv_heads == 0 || graph.head_dim == 0 || graph.vocabulary_size == 0) {
    return std::unexpected(
        model_corrupt("neither the graph nor its configuration says how many key/value heads, "
                      "dimensions or tokens there are"));
  }
  return graph;
}

}  // namespace

Result<GraphInterface> inspect_session(const Ort::Session& session, const ModelConfig& config) {
  try {
    return inspect(session, config);
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("the graph's inputs", exception));
  }
}

std::size_t element_bytes(ONNXTensorElementDataType type) {
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 2;
}

const char* element_name(ONNXTensorElementDataType type) {
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16) return "f16";
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 ? "bf16" : "f32";
}

std::string layer_name(const std::string& name, std::uint32_t layer) {
  const auto place = name.find("%d");
  if (place == std::string::npos) return name;
  return name.substr(0, place) + std::to_string(layer) + name.substr(place + 2);
}

bool has_group_query_attention(const onnx::ModelProto& model) {
  return std::ranges::any_of(model.graph().node(), [](const onnx::NodeProto& node) {
    return node.op_type() == "GroupQueryAttention";
  });
}

}  // namespace onnxlocal
