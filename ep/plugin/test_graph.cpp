#include "plugin/test_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <utility>

#include "plugin/names.h"

namespace onnxlocal::ep {

namespace {

Ort::ValueInfo value_info(const std::string& name, ONNXTensorElementDataType type,
                          const std::vector<std::int64_t>& dims) {
  const Ort::TensorTypeAndShapeInfo shape(type, dims);
  const Ort::TypeInfo info = Ort::TypeInfo::CreateTensorInfo(shape.GetConst());
  return Ort::ValueInfo(name, info.GetConst());
}

Ort::OpAttr attribute_of(const std::string& name, const TestAttribute& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return Ort::OpAttr(name.c_str(), integer, 1, ORT_OP_ATTR_INT);
  }
  if (const auto* number = std::get_if<float>(&value)) {
    return Ort::OpAttr(name.c_str(), number, 1, ORT_OP_ATTR_FLOAT);
  }
  const auto& text = std::get<std::string>(value);
  return Ort::OpAttr(name.c_str(), text.data(), static_cast<int>(text.size()), ORT_OP_ATTR_STRING);
}

Ort::Value make_value(const TestTensor& tensor) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value =
      Ort::Value::CreateTensor(allocator, tensor.dims.data(), tensor.dims.size(), tensor.type);
  if (!tensor.bytes.empty()) {
    std::memcpy(value.GetTensorMutableRawData(), tensor.bytes.data(), tensor.bytes.size());
  }
  return value;
}

TestTensor read_value(const Ort::Value& value) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  TestTensor tensor{.type = info.GetElementType(), .dims = info.GetShape(), .bytes = {}};
  const auto* const data = static_cast<const std::byte*>(value.GetTensorRawData());
  tensor.bytes.assign(data, data + value.GetTensorSizeInBytes());
  return tensor;
}

}  // namespace

void TestGraph::input(const std::string& name, ONNXTensorElementDataType type,
                      const std::vector<std::int64_t>& dims) {
  inputs_.push_back(value_info(name, type, dims));
}

void TestGraph::output(const std::string& name, ONNXTensorElementDataType type,
                       const std::vector<std::int64_t>& dims) {
  outputs_.push_back(value_info(name, type, dims));
}

void TestGraph::constant(const std::string& name, const TestTensor& tensor) {
  Ort::Value value = make_value(tensor);
  graph_.AddInitializer(name, value, false);
}

void TestGraph::node(const std::string& op, const std::string& domain,
                     const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs,
                     const std::map<std::string, TestAttribute>& attributes) {
  std::vector<Ort::OpAttr> list;
  for (const auto& [name, value] : attributes) list.push_back(attribute_of(name, value));
  Ort::Node node(op, domain, op + "_" + outputs.front(), inputs, outputs, list);
  graph_.AddNode(node);
}

Ort::Session TestGraph::session(const Ort::SessionOptions& options) {
  graph_.SetInputs(inputs_);
  graph_.SetOutputs(outputs_);
  Ort::Model model({{"", 21}, {"com.microsoft", 1}, {kDomain, 1}});
  model.AddGraph(graph_);
  return Ort::Session(TestRuntime::instance().env(), model, options);
}

TestRuntime& TestRuntime::instance() {
  static TestRuntime runtime;
  return runtime;
}

TestRuntime::TestRuntime() {
  env_ = Ort::Env(
      ORT_LOGGING_LEVEL_INFO, "test",
      [](void* self, OrtLoggingLevel, const char*, const char*, const char*, const char* message) {
        auto& runtime = *static_cast<TestRuntime*>(self);
        const std::scoped_lock lock(runtime.mutex_);
        runtime.log_.emplace_back(message);
      },
      this);
  env_.RegisterExecutionProviderLibrary("onnxlocal", ONNXLOCAL_EP_LIBRARY);
}

Ort::SessionOptions TestRuntime::stock() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(2);
  return options;
}

Ort::SessionOptions TestRuntime::ours(const std::map<std::string, std::string>& options) {
  Ort::SessionOptions session_options = stock();
  session_options.AddConfigEntry("session.record_ep_graph_assignment_info", "1");
  std::vector<Ort::ConstEpDevice> devices;
  for (const Ort::ConstEpDevice& device : env_.GetEpDevices()) {
    if (device.EpName() == std::string(kProviderName)) devices.push_back(device);
  }
  devices.resize(std::min<std::size_t>(devices.size(), 1));
  session_options.AppendExecutionProvider_V2(env_, devices, {options.begin(), options.end()});
  return session_options;
}

std::vector<std::string> TestRuntime::take_log() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(log_, {});
}

std::map<std::string, TestTensor> run(Ort::Session& session,
                                      const std::map<std::string, TestTensor>& inputs) {
  std::vector<const char*> names;
  std::vector<Ort::Value> values;
  for (const auto& [name, tensor] : inputs) {
    names.push_back(name.c_str());
    values.push_back(make_value(tensor));
  }
  const std::vector<std::string> outputs = session.GetOutputNames();
  std::vector<const char*> wanted;
  for (const std::string& name : outputs) wanted.push_back(name.c_str());
  const auto results = session.Run(Ort::RunOptions(), names.data(), values.data(), values.size(),
                                   wanted.data(), wanted.size());
  std::map<std::string, TestTensor> tensors;
  for (std::size_t i = 0; i < results.size(); ++i) {
    tensors.emplace(outputs[i], read_value(results[i]));
  }
  return tensors;
}

std::map<std::string, int> our_nodes(const Ort::Session& session) {
  std::map<std::string, int> count;
  for (const auto& part : session.GetEpGraphAssignmentInfo()) {
    if (part.GetEpName() != kProviderName) continue;
    for (const auto& node : part.GetNodes()) ++count[node.GetOperatorType()];
  }
  return count;
}

std::vector<float> random_floats(std::size_t count, std::uint64_t seed, float deviation) {
  std::mt19937_64 source(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> numbers(count);
  std::ranges::generate(numbers, [&] { return normal(source); });
  return numbers;
}

std::vector<std::uint8_t> random_bytes(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 source(seed);
  std::vector<std::uint8_t> bytes(count);
  std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(source()); });
  return bytes;
}

double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    largest = std::max(largest, std::abs(double{expected[i]}));
    const double apart = std::abs(double{actual[i]} - expected[i]);
    if (!(apart <= difference)) difference = apart;  // Keeps a NaN.
  }
  return difference / std::max(largest, 1e-30);
}

}  // namespace onnxlocal::ep
