#include "import/graph_builder.h"

#include "base/check.h"

namespace onnxlocal {
namespace {

// Opset 21 and IR 10: every operator we use, and old enough for the runtimes in use.
constexpr int kOpset = 21;
constexpr int kIrVersion = 10;

void set_shape(onnx::ValueInfoProto& info, const std::string& name, int data_type,
               std::initializer_list<Dim> dims) {
  info.set_name(name);
  auto* tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(data_type);
  auto* shape = tensor->mutable_shape();
  for (const auto& dim : dims) {
    auto* to = shape->add_dim();
    if (const auto* size = std::get_if<std::int64_t>(&dim)) {
      to->set_dim_value(*size);
    } else {
      to->set_dim_param(std::get<std::string>(dim));
    }
  }
}

}  // namespace

GraphBuilder::GraphBuilder(std::string_view graph_name) {
  model_.set_ir_version(kIrVersion);
  model_.set_producer_name("onnx-local");
  auto* standard = model_.add_opset_import();
  standard->set_domain("");
  standard->set_version(kOpset);
  auto* microsoft = model_.add_opset_import();
  microsoft->set_domain(kMicrosoftDomain);
  microsoft->set_version(1);
  graph().set_name(std::string(graph_name));
}

void GraphBuilder::input(const std::string& name, int data_type, std::initializer_list<Dim> dims) {
  set_shape(*graph().add_input(), name, data_type, dims);
}

void GraphBuilder::output(const std::string& name, int data_type, std::initializer_list<Dim> dims) {
  set_shape(*graph().add_output(), name, data_type, dims);
}

void GraphBuilder::node(std::string_view op, std::vector<ValueName> inputs,
                        std::vector<ValueName> outputs, std::vector<Attribute> attributes,
                        std::string_view domain) {
  auto* node = graph().add_node();
  node->set_op_type(std::string(op));
  node->set_domain(std::string(domain));
  node->set_name(outputs.front());
  for (auto& name : inputs) node->add_input(std::move(name));
  for (auto& name : outputs) node->add_output(std::move(name));
  for (auto& attribute : attributes) {
    auto* to = node->add_attribute();
    to->set_name(std::move(attribute.name));
    if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
      to->set_type(onnx::AttributeProto::INT);
      to->set_i(*integer);
    } else {
      to->set_type(onnx::AttributeProto::FLOAT);
      to->set_f(std::get<float>(attribute.value));
    }
  }
}

ValueName GraphBuilder::value(std::string_view op, std::vector<ValueName> inputs, ValueName output,
                              std::vector<Attribute> attributes, std::string_view domain) {
  node(op, std::move(inputs), {output}, std::move(attributes), domain);
  return output;
}

onnx::TensorProto* GraphBuilder::add_constant(const std::string& name, int data_type,
                                              const std::vector<std::int64_t>& dims) {
  auto* tensor = graph().add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(data_type);
  for (const auto dim : dims) tensor->add_dims(dim);
  return tensor;
}

ValueName GraphBuilder::floats(const std::string& name, std::span<const float> values) {
  if (!inline_names_.insert(name).second) return name;
  auto* tensor =
      add_constant(name, onnx::TensorProto::FLOAT, {static_cast<std::int64_t>(values.size())});
  tensor->set_raw_data(values.data(), values.size_bytes());
  return name;
}

ValueName GraphBuilder::integers(const std::string& name, std::span<const std::int64_t> values) {
  if (!inline_names_.insert(name).second) return name;
  auto* tensor =
      add_constant(name, onnx::TensorProto::INT64, {static_cast<std::int64_t>(values.size())});
  tensor->set_raw_data(values.data(), values.size_bytes());
  return name;
}

ValueName GraphBuilder::scalar(const std::string& name, std::int64_t value) {
  if (!inline_names_.insert(name).second) return name;
  add_constant(name, onnx::TensorProto::INT64, {})->set_raw_data(&value, sizeof(value));
  return name;
}

ValueName GraphBuilder::external(const std::string& name, int data_type,
                                 std::vector<std::int64_t> dims, std::uint64_t size_bytes,
                                 ByteSource source) {
  const auto offset = data_.add(size_bytes, std::move(source));
  const bool is_new = external_.emplace(name, Place{data_type, offset, size_bytes}).second;
  CHECK(is_new);
  set_external(*add_constant(name, data_type, dims), offset, size_bytes);
  return name;
}

ValueName GraphBuilder::external_alias(const std::string& name, const ValueName& original,
                                       std::vector<std::int64_t> dims) {
  const auto place = external_.find(original);
  CHECK(place != external_.end());
  const auto [data_type, offset, size_bytes] = place->second;
  set_external(*add_constant(name, data_type, dims), offset, size_bytes);
  return name;
}

}  // namespace onnxlocal
