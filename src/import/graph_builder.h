#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "import/onnx_writer.h"

namespace onnxlocal {

/// The name of a tensor that flows through the graph: what one node gives and others take.
using ValueName = std::string;

/// A dimension: its size, or the name of one that is known when the model runs.
using Dim = std::variant<std::int64_t, std::string>;

struct Attribute {
  std::string name;
  std::variant<std::int64_t, float> value;
};

inline constexpr const char* kMicrosoftDomain = "com.microsoft";

/// Grows an ONNX graph node by node, and plans its external data. One thread.
class GraphBuilder {
 public:
  explicit GraphBuilder(std::string_view graph_name);

  void input(const std::string& name, int data_type, std::initializer_list<Dim> dims);
  void output(const std::string& name, int data_type, std::initializer_list<Dim> dims);

  /// Adds a node that gives `outputs` (empty names are left out) and is named after the first.
  void node(std::string_view op, std::vector<ValueName> inputs, std::vector<ValueName> outputs,
            std::vector<Attribute> attributes = {}, std::string_view domain = "");
  /// The same for one output; returns it.
  ValueName value(std::string_view op, std::vector<ValueName> inputs, ValueName output,
                  std::vector<Attribute> attributes = {}, std::string_view domain = "");

  /// Constants inside the `.onnx` file. The same name may be asked for again and is kept once.
  ValueName floats(const std::string& name, std::span<const float> values);
  ValueName integers(const std::string& name, std::span<const std::int64_t> values);
  ValueName scalar(const std::string& name, std::int64_t value);

  /// A constant in the external data file. `size_bytes` is what `dims` and type ask for.
  ValueName external(const std::string& name, int data_type, std::vector<std::int64_t> dims,
                     std::uint64_t size_bytes, ByteSource source);
  /// A second constant of another shape over the bytes of `original`.
  ValueName external_alias(const std::string& name, const ValueName& original,
                           std::vector<std::int64_t> dims);

  const onnx::ModelProto& model() const { return model_; }
  const ExternalDataPlan& data() const { return data_; }

 private:
  struct Place {
    int data_type;
    std::uint64_t offset;
    std::uint64_t size_bytes;
  };

  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  onnx::TensorProto* add_constant(const std::string& name, int data_type,
                                  const std::vector<std::int64_t>& dims);

  onnx::ModelProto model_;
  ExternalDataPlan data_;
  std::map<std::string, Place, std::less<>> external_;
  std::set<std::string, std::less<>> inline_names_;
};

}  // namespace onnxlocal
