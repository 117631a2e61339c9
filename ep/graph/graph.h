#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace onnxlocal::ep {

/// ONNX element types that we look at, by their ONNX numbers (and ONNX Runtime's).
enum class ElementType : std::int32_t {
  kOther = 0,
  kFloat32 = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kFloat16 = 10,
  kBfloat16 = 16,
};

/// Where an external constant's bytes lie.
struct ExternalPlace {
  std::string file;  ///< Absolute.
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// A constant. Small ones carry their bytes; those in external data only their place, so that
/// looking at a graph reads nothing.
struct Constant {
  ElementType type = ElementType::kOther;
  std::vector<std::int64_t> dims;
  std::span<const std::byte> bytes;  ///< Empty where `place` is set. Borrowed from the graph.
  std::optional<ExternalPlace> place;
};

using ValueIndex = std::int32_t;
inline constexpr ValueIndex kNoValue = -1;  ///< An optional input or output that is left out.

struct Value {
  std::string name;
  ElementType type = ElementType::kOther;
  std::vector<std::int64_t>
      dims;                    ///< -1 where known only at run time; empty for a scalar or unknown.
  std::int32_t producer = -1;  ///< Node, or -1: an input of the graph or a constant.
  std::vector<std::int32_t> consumers;
  std::optional<Constant> constant;
  bool is_input = false;
  bool is_output = false;
};

using Attribute =
    std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>>;

struct Node {
  std::string op;
  std::string domain;  ///< "" for ai.onnx.
  std::vector<ValueIndex> inputs;
  std::vector<ValueIndex> outputs;
  std::map<std::string, Attribute, std::less<>> attributes;
  /// Of If: what a branch gives, where it gives constants alone.
  std::map<std::string, std::vector<ValueIndex>, std::less<>> branches = {};

  std::int64_t integer(std::string_view name, std::int64_t otherwise) const;
  float number(std::string_view name, float otherwise) const;
  std::string text(std::string_view name, std::string_view otherwise) const;
  /// Nothing where the attribute is not there or is no list.
  std::optional<std::vector<std::int64_t>> integers(std::string_view name) const;
  /// kNoValue beyond the end too.
  ValueIndex input(std::size_t index) const;
  ValueIndex output(std::size_t index) const;
};

/// A graph of ONNX Runtime, read once. Nodes are in topological order.
struct Graph {
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<ValueIndex> inputs;  ///< Those that a run is given: constants are not among them.
  std::vector<ValueIndex> outputs;
};

/// Bytes of one element; 0 for kOther.
std::size_t element_bytes(ElementType type);
/// Elements of a tensor; nothing where a dimension is unknown or the product does not fit.
std::optional<std::size_t> element_count(std::span<const std::int64_t> dims);

/// The numbers of a constant that carries its bytes; nothing where it does not, or is of another
/// type. Integers: int32 and int64. Floats: float32 and float16.
std::optional<std::vector<std::int64_t>> read_integers(const Constant& constant);
std::optional<std::vector<float>> read_floats(const Constant& constant);

/// Fills in every value's producer and consumers from the nodes.
void connect(Graph& graph);

}  // namespace onnxlocal::ep
