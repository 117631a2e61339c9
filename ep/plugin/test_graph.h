#pragma once

// For tests: small graphs built in memory, and sessions over them with and without the provider.

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace onnxlocal::ep {

template <class Number>
constexpr ONNXTensorElementDataType type_of() {
  return Ort::TypeToTensorType<Number>::type;
}

/// A value of a graph: an input, an output or a constant.
struct TestTensor {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<std::int64_t> dims;
  std::vector<std::byte> bytes;

  template <class Number>
  static TestTensor of(std::vector<std::int64_t> dims, const std::vector<Number>& values) {
    TestTensor tensor{.type = type_of<Number>(), .dims = std::move(dims), .bytes = {}};
    const auto bytes = std::as_bytes(std::span(values));
    tensor.bytes.assign(bytes.begin(), bytes.end());
    return tensor;
  }
  template <class Number>
  std::vector<Number> values() const {
    std::vector<Number> numbers(bytes.size() / sizeof(Number));
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
    return numbers;
  }
};

/// A graph inside a node (a branch of If) that gives constants alone.
struct TestBranch {
  std::vector<std::pair<std::string, TestTensor>> constants;
};
using TestAttribute = std::variant<std::int64_t, float, std::string, TestBranch>;

/// Nodes with their inputs and outputs; makes sessions.
class TestGraph {
 public:
  /// Dimensions of -1 are free.
  void input(const std::string& name, ONNXTensorElementDataType type,
             const std::vector<std::int64_t>& dims);
  void output(const std::string& name, ONNXTensorElementDataType type,
              const std::vector<std::int64_t>& dims);
  void constant(const std::string& name, const TestTensor& tensor);
  void node(const std::string& op, const std::string& domain,
            const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
            const std::map<std::string, TestAttribute>& attributes);
  Ort::Session session(const Ort::SessionOptions& options) const;

 private:
  std::string graph_;  ///< GraphProto, field by field.
};

/// The process's ONNX Runtime, with the plugin registered and all it logs at hand.
class TestRuntime {
 public:
  static TestRuntime& instance();
  Ort::Env& env() { return env_; }
  /// Options with our provider, under these provider options.
  Ort::SessionOptions ours(const std::map<std::string, std::string>& options = {});
  /// Options of the stock provider.
  static Ort::SessionOptions stock();
  /// What was logged since the last call.
  std::vector<std::string> take_log();

 private:
  TestRuntime();
  std::mutex mutex_;
  std::vector<std::string> log_;
  Ort::Env env_{nullptr};
};

std::map<std::string, TestTensor> run(Ort::Session& session,
                                      const std::map<std::string, TestTensor>& inputs);

/// Operators that our provider runs in this session, by number.
std::map<std::string, int> our_nodes(const Ort::Session& session);

/// Normally distributed numbers.
std::vector<float> random_floats(std::size_t count, std::uint64_t seed, float deviation = 1.0F);
std::vector<std::uint8_t> random_bytes(std::size_t count, std::uint64_t seed);

/// The largest difference, over the largest number of `expected`.
double relative_error(const std::vector<float>& actual, const std::vector<float>& expected);

}  // namespace onnxlocal::ep
