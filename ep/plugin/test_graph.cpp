#include "plugin/test_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>

#include "plugin/names.h"

namespace onnxlocal::ep {

namespace {

// What is needed of the protocol buffers' wire format, so that the tests need no library for it:
// a field is its number and kind, then a varint, four bytes, or a length and bytes.

std::string varint(std::uint64_t value) {
  constexpr unsigned kMore = 0x80;
  std::string bytes;
  for (; value >= kMore; value >>= 7U) bytes += static_cast<char>(value | kMore);
  return bytes + static_cast<char>(value);
}

std::string field(unsigned number, std::int64_t value) {
  return varint(number << 3U) + varint(static_cast<std::uint64_t>(value));
}

std::string field(unsigned number, std::string_view bytes) {
  constexpr unsigned kBytes = 2;
  return varint(number << 3U | kBytes) + varint(bytes.size()) + std::string(bytes);
}

std::string field(unsigned number, float value) {
  constexpr unsigned kFourBytes = 5;
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return varint(number << 3U | kFourBytes) + bytes;
}

std::string value_info(const std::string& name, ONNXTensorElementDataType type,
                       const std::vector<std::int64_t>& dims) {
  std::string shape;
  for (const std::int64_t dim : dims) shape += field(1, dim < 0 ? "" : field(1, dim));
  const std::string tensor = field(1, std::int64_t{type}) + field(2, shape);
  return field(1, name) + field(2, field(1, tensor));
}

std::string tensor_proto(const std::string& name, const TestTensor& tensor) {
  std::string proto;
  for (const std::int64_t dim : tensor.dims) proto += field(1, dim);
  const std::string_view data(reinterpret_cast<const char*>(tensor.bytes.data()),
                              tensor.bytes.size());
  return proto + field(2, std::int64_t{tensor.type}) + field(8, name) + field(9, data);
}

std::string branch_proto(const TestBranch& branch) {
  constexpr std::int64_t kTensorType = 4;
  std::string graph = field(2, "branch");
  for (const auto& [name, tensor] : branch.constants) {
    const std::string value =
        field(1, "value") + field(5, tensor_proto("", tensor)) + field(20, kTensorType);
    graph += field(1, field(2, name) + field(3, "make_" + name) + field(4, "Constant") +
                          field(5, value)) +
             field(12, value_info(name, tensor.type, tensor.dims));
  }
  return graph;
}

std::string attribute_proto(const std::string& name, const TestAttribute& value) {
  constexpr std::int64_t kFloatType = 1;
  constexpr std::int64_t kIntegerType = 2;
  constexpr std::int64_t kStringType = 3;
  constexpr std::int64_t kGraphType = 5;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return field(1, name) + field(3, *integer) + field(20, kIntegerType);
  }
  if (const auto* number = std::get_if<float>(&value)) {
    return field(1, name) + field(2, *number) + field(20, kFloatType);
  }
  if (const auto* branch = std::get_if<TestBranch>(&value)) {
    return field(1, name) + field(6, branch_proto(*branch)) + field(20, kGraphType);
  }
  return field(1, name) + field(4, std::get<std::string>(value)) + field(20, kStringType);
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
  graph_ += field(11, value_info(name, type, dims));
}

void TestGraph::output(const std::string& name, ONNXTensorElementDataType type,
                       const std::vector<std::int64_t>& dims) {
  graph_ += field(12, value_info(name, type, dims));
}

void TestGraph::constant(const std::string& name, const TestTensor& tensor) {
  graph_ += field(5, tensor_proto(name, tensor));
}

void TestGraph::node(const std::string& op, const std::string& domain,
                     const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs,
                     const std::map<std::string, TestAttribute>& attributes) {
  std::string proto;
  for (const std::string& name : inputs) proto += field(1, name);
  for (const std::string& name : outputs) proto += field(2, name);
  proto += field(3, op + "_" + outputs.front()) + field(4, op) + field(7, domain);
  for (const auto& [name, value] : attributes) proto += field(5, attribute_proto(name, value));
  graph_ += field(1, proto);
}

Ort::Session TestGraph::session(const Ort::SessionOptions& options) const {
  constexpr std::int64_t kIrVersion = 10;
  const auto opset = [](const std::string& domain, std::int64_t version) {
    return field(8, field(1, domain) + field(2, version));
  };
  const std::string model = field(1, kIrVersion) + field(7, field(2, "test") + graph_) +
                            opset("", 21) + opset("com.microsoft", 1) + opset(kDomain, 1);
  return Ort::Session(TestRuntime::instance().env(), model.data(), model.size(), options);
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
