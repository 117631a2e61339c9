#include "graph/ort_graph_reader.h"

#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "graph/text.h"

namespace onnxlocal::ep {

namespace {

/// Constants up to this size are read at once even where they are external: scalars, shapes and
/// norms decide what a graph is.
constexpr std::size_t kSmallBytes = 16'384;

ElementType to_element_type(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return ElementType::kFloat32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return ElementType::kUint8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8: return ElementType::kInt8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: return ElementType::kInt32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return ElementType::kInt64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return ElementType::kFloat16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16: return ElementType::kBfloat16;
    default: return ElementType::kOther;
  }
}

/// Reads with the C interface; the first status that is not good is kept and ends the reading.
class Reader {
 public:
  Reader(const OrtApi& api, const OrtGraph* graph, std::filesystem::path folder)
      : api_(api), ort_graph_(graph), folder_(std::move(folder)) {}

  std::expected<Graph, std::string> read() {
    if (folder_.empty()) {
      const ORTCHAR_T* path = nullptr;
      if (good(api_.Graph_GetModelPath(ort_graph_, &path)) && path != nullptr && *path != 0) {
        folder_ = std::filesystem::path(path).parent_path();
      }
    }
    read_nodes();
    read_border();
    if (!error_.empty()) return std::unexpected(std::move(error_));
    connect(graph_);
    return std::move(graph_);
  }

 private:
  bool good(OrtStatus* status) {
    if (status == nullptr) return error_.empty();
    if (error_.empty()) error_ = api_.GetErrorMessage(status);
    api_.ReleaseStatus(status);
    return false;
  }

  void read_nodes() {
    std::size_t count = 0;
    if (!good(api_.Graph_GetNumNodes(ort_graph_, &count))) return;
    std::vector<const OrtNode*> nodes(count);
    if (!good(api_.Graph_GetNodes(ort_graph_, nodes.data(), count))) return;
    graph_.nodes.reserve(count);
    for (const auto* node : nodes) {
      if (!read_node(node)) return;
    }
  }

  bool read_node(const OrtNode* ort_node) {
    Node node;
    const char* op = nullptr;
    const char* domain = nullptr;
    if (!good(api_.Node_GetOperatorType(ort_node, &op))) return false;
    if (!good(api_.Node_GetDomain(ort_node, &domain))) return false;
    node.op = op;
    node.domain = std::strcmp(domain, "ai.onnx") == 0 ? "" : domain;
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    if (!good(api_.Node_GetNumInputs(ort_node, &inputs))) return false;
    if (!good(api_.Node_GetNumOutputs(ort_node, &outputs))) return false;
    std::vector<const OrtValueInfo*> infos(inputs);
    if (!good(api_.Node_GetInputs(ort_node, infos.data(), inputs))) return false;
    for (const auto* info : infos) node.inputs.push_back(value_of(info));
    infos.assign(outputs, nullptr);
    if (!good(api_.Node_GetOutputs(ort_node, infos.data(), outputs))) return false;
    for (const auto* info : infos) node.outputs.push_back(value_of(info));
    if (!read_attributes(ort_node, node) || !read_branches(ort_node, node)) return false;
    graph_.nodes.push_back(std::move(node));
    return error_.empty();
  }

  bool read_attributes(const OrtNode* ort_node, Node& node) {
    std::size_t count = 0;
    if (!good(api_.Node_GetNumAttributes(ort_node, &count))) return false;
    std::vector<const OrtOpAttr*> attributes(count);
    if (!good(api_.Node_GetAttributes(ort_node, attributes.data(), count))) return false;
    for (const auto* attribute : attributes) {
      const char* name = nullptr;
      OrtOpAttrType type = ORT_OP_ATTR_UNDEFINED;
      if (!good(api_.OpAttr_GetName(attribute, &name))) return false;
      if (!good(api_.OpAttr_GetType(attribute, &type))) return false;
      if (!read_attribute(attribute, type, node.attributes, name)) return false;
    }
    return true;
  }

  /// A branch that computes something is left out: no operator we know has one.
  bool read_branches(const OrtNode* ort_node, Node& node) {
    std::size_t count = 0;
    if (!good(api_.Node_GetNumSubgraphs(ort_node, &count))) return false;
    std::vector<const OrtGraph*> graphs(count);
    std::vector<const char*> names(count);
    if (count > 0 && !good(api_.Node_GetSubgraphs(ort_node, graphs.data(), count, names.data()))) {
      return false;
    }
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t outputs = 0;
      if (!good(api_.Graph_GetNumOutputs(graphs[i], &outputs))) return false;
      std::vector<const OrtValueInfo*> infos(outputs);
      if (!good(api_.Graph_GetOutputs(graphs[i], infos.data(), outputs))) return false;
      std::vector<ValueIndex> constants;
      for (const auto* info : infos) {
        // Apart from the names of the graph around it, and of the other branch.
        Value value;
        value.name = text(names[i], ".", constants.size());
        read_value(info, value);
        if (!value.constant) break;
        constants.push_back(static_cast<ValueIndex>(graph_.values.size()));
        graph_.values.push_back(std::move(value));
      }
      if (constants.size() == outputs) node.branches[names[i]] = std::move(constants);
    }
    return error_.empty();
  }

  template <class Element>
  bool read_list(const OrtOpAttr* attribute, OrtOpAttrType type, std::vector<Element>& list) {
    // The first call fails and says how many bytes there are.
    std::size_t bytes = 0;
    if (OrtStatus* status = api_.ReadOpAttr(attribute, type, nullptr, 0, &bytes)) {
      api_.ReleaseStatus(status);
    }
    list.resize(bytes / sizeof(Element));
    if (list.empty()) return true;
    return good(api_.ReadOpAttr(attribute, type, list.data(), bytes, &bytes));
  }

  bool read_attribute(const OrtOpAttr* attribute, OrtOpAttrType type,
                      std::map<std::string, Attribute, std::less<>>& attributes, const char* name) {
    std::size_t bytes = 0;
    switch (type) {
      case ORT_OP_ATTR_INT: {
        std::int64_t value = 0;
        if (!good(api_.ReadOpAttr(attribute, type, &value, sizeof value, &bytes))) return false;
        attributes[name] = value;
        return true;
      }
      case ORT_OP_ATTR_FLOAT: {
        float value = 0;
        if (!good(api_.ReadOpAttr(attribute, type, &value, sizeof value, &bytes))) return false;
        attributes[name] = value;
        return true;
      }
      case ORT_OP_ATTR_STRING: {
        std::vector<char> characters;
        if (!read_list(attribute, type, characters)) return false;
        std::string value(characters.begin(), characters.end());
        while (!value.empty() && value.back() == '\0') value.pop_back();
        attributes[name] = std::move(value);
        return true;
      }
      case ORT_OP_ATTR_INTS: {
        std::vector<std::int64_t> values;
        if (!read_list(attribute, type, values)) return false;
        attributes[name] = std::move(values);
        return true;
      }
      case ORT_OP_ATTR_FLOATS: {
        std::vector<float> values;
        if (!read_list(attribute, type, values)) return false;
        attributes[name] = std::move(values);
        return true;
      }
      default: return true;  // Tensors, lists of strings: no operator we know has them.
    }
  }

  void read_border() {
    std::size_t count = 0;
    if (!good(api_.Graph_GetNumInputs(ort_graph_, &count))) return;
    std::vector<const OrtValueInfo*> infos(count);
    if (!good(api_.Graph_GetInputs(ort_graph_, infos.data(), count))) return;
    for (const auto* info : infos) {
      const auto index = value_of(info);
      if (index == kNoValue || graph_.values[static_cast<std::size_t>(index)].constant) continue;
      graph_.values[static_cast<std::size_t>(index)].is_input = true;
      graph_.inputs.push_back(index);
    }
    if (!good(api_.Graph_GetNumOutputs(ort_graph_, &count))) return;
    infos.assign(count, nullptr);
    if (!good(api_.Graph_GetOutputs(ort_graph_, infos.data(), count))) return;
    for (const auto* info : infos) {
      const auto index = value_of(info);
      if (index == kNoValue) continue;
      graph_.values[static_cast<std::size_t>(index)].is_output = true;
      graph_.outputs.push_back(index);
    }
  }

  ValueIndex value_of(const OrtValueInfo* info) {
    if (info == nullptr) return kNoValue;
    const char* name = nullptr;
    if (!good(api_.GetValueInfoName(info, &name)) || *name == '\0') return kNoValue;
    const auto [place, is_new] = indexes_.try_emplace(name, 0);
    if (is_new) {
      place->second = static_cast<ValueIndex>(graph_.values.size());
      graph_.values.emplace_back().name = name;
      read_value(info, graph_.values.back());
    }
    return place->second;
  }

  void read_value(const OrtValueInfo* info, Value& value) {
    const OrtTypeInfo* type = nullptr;
    const OrtTensorTypeAndShapeInfo* shape = nullptr;
    if (!good(api_.GetValueInfoTypeInfo(info, &type)) || type == nullptr) return;
    if (!good(api_.CastTypeInfoToTensorInfo(type, &shape)) || shape == nullptr) return;
    read_shape(shape, value.type, value.dims);
    bool is_constant = false;
    if (!good(api_.ValueInfo_IsConstantInitializer(info, &is_constant)) || !is_constant) return;
    read_constant(info, value);
  }

  void read_shape(const OrtTensorTypeAndShapeInfo* shape, ElementType& type,
                  std::vector<std::int64_t>& dims) {
    auto ort_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    std::size_t rank = 0;
    if (!good(api_.GetTensorElementType(shape, &ort_type))) return;
    if (!good(api_.GetDimensionsCount(shape, &rank))) return;
    type = to_element_type(ort_type);
    dims.assign(rank, -1);
    if (rank > 0 && !good(api_.GetDimensions(shape, dims.data(), rank))) return;
  }

  void read_constant(const OrtValueInfo* info, Value& value) {
    Constant constant{.type = value.type, .dims = value.dims, .bytes = {}, .place = {}};
    OrtExternalInitializerInfo* external = nullptr;
    if (!good(api_.ValueInfo_GetExternalInitializerInfo(info, &external))) return;
    if (external != nullptr) {
      ExternalPlace place;
      const std::filesystem::path file(api_.ExternalInitializerInfo_GetFilePath(external));
      place.file = (file.is_absolute() ? file : folder_ / file).string();
      place.offset =
          static_cast<std::uint64_t>(api_.ExternalInitializerInfo_GetFileOffset(external));
      place.bytes = api_.ExternalInitializerInfo_GetByteSize(external);
      api_.ReleaseExternalInitializerInfo(external);
      if (place.bytes > kSmallBytes) constant.place = std::move(place);
    }
    if (!constant.place) {
      const OrtValue* tensor = nullptr;
      const void* data = nullptr;
      std::size_t bytes = 0;
      if (!good(api_.ValueInfo_GetInitializerValue(info, &tensor)) || tensor == nullptr) return;
      if (!good(api_.GetTensorSizeInBytes(tensor, &bytes))) return;
      if (bytes > 0 && !good(api_.GetTensorData(tensor, &data))) return;
      constant.bytes = {static_cast<const std::byte*>(data), bytes};
    }
    value.constant = std::move(constant);
  }

  const OrtApi& api_;
  const OrtGraph* ort_graph_;
  std::filesystem::path folder_;
  Graph graph_;
  std::map<std::string, ValueIndex, std::less<>> indexes_;
  std::string error_;
};

}  // namespace

std::expected<Graph, std::string> read_graph(const OrtApi& api, const OrtGraph* graph,
                                             const std::filesystem::path& folder) {
  return Reader(api, graph, folder).read();
}

}  // namespace onnxlocal::ep
