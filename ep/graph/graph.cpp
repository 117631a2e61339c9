#include "graph/graph.h"

#include <cstring>
#include <limits>

#include "cpu/number_formats.h"

namespace onnxlocal::ep {

namespace {

template <class Wanted>
const Wanted* find(const Node& node, std::string_view name) {
  const auto found = node.attributes.find(name);
  return found == node.attributes.end() ? nullptr : std::get_if<Wanted>(&found->second);
}

ValueIndex at(const std::vector<ValueIndex>& values, std::size_t index) {
  return index < values.size() ? values[index] : kNoValue;
}

/// Elements that the bytes hold as well as the dimensions say; nothing where the two differ.
std::optional<std::size_t> carried_elements(const Constant& constant) {
  const auto count = element_count(constant.dims);
  if (!count || constant.place || constant.bytes.size() != *count * element_bytes(constant.type)) {
    return std::nullopt;
  }
  return count;
}

template <class Stored, class Result, class Convert>
std::vector<Result> convert(std::span<const std::byte> bytes, std::size_t count, Convert convert) {
  std::vector<Result> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    result[i] = convert(stored);
  }
  return result;
}

}  // namespace

std::int64_t Node::integer(std::string_view name, std::int64_t otherwise) const {
  const auto* value = find<std::int64_t>(*this, name);
  return value != nullptr ? *value : otherwise;
}

float Node::number(std::string_view name, float otherwise) const {
  const auto* value = find<float>(*this, name);
  return value != nullptr ? *value : otherwise;
}

std::string Node::text(std::string_view name, std::string_view otherwise) const {
  const auto* value = find<std::string>(*this, name);
  return value != nullptr ? *value : std::string(otherwise);
}

std::optional<std::vector<std::int64_t>> Node::integers(std::string_view name) const {
  const auto* value = find<std::vector<std::int64_t>>(*this, name);
  if (value == nullptr) return std::nullopt;
  return *value;
}

ValueIndex Node::input(std::size_t index) const { return at(inputs, index); }
ValueIndex Node::output(std::size_t index) const { return at(outputs, index); }

std::size_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::kOther: return 0;
    case ElementType::kUint8:
    case ElementType::kInt8: return 1;
    case ElementType::kFloat16:
    case ElementType::kBfloat16: return 2;
    case ElementType::kFloat32:
    case ElementType::kInt32: return 4;
    case ElementType::kInt64: return 8;
  }
  return 0;
}

std::optional<std::size_t> element_count(std::span<const std::int64_t> dims) {
  // Far above any tensor, and such that eight bytes each still fit.
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max() / 16;
  std::size_t count = 1;
  for (const auto dim : dims) {
    if (dim < 0) return std::nullopt;
    const auto size = static_cast<std::size_t>(dim);
    if (size != 0 && count > kMost / size) return std::nullopt;
    count *= size;
  }
  return count;
}

std::optional<std::vector<std::int64_t>> read_integers(const Constant& constant) {
  const auto count = carried_elements(constant);
  if (!count) return std::nullopt;
  const auto widen = [](auto value) { return std::int64_t{value}; };
  if (constant.type == ElementType::kInt64) {
    return convert<std::int64_t, std::int64_t>(constant.bytes, *count, widen);
  }
  if (constant.type == ElementType::kInt32) {
    return convert<std::int32_t, std::int64_t>(constant.bytes, *count, widen);
  }
  return std::nullopt;
}

std::optional<std::vector<float>> read_floats(const Constant& constant) {
  const auto count = carried_elements(constant);
  if (!count) return std::nullopt;
  if (constant.type == ElementType::kFloat32) {
    return convert<float, float>(constant.bytes, *count, [](float value) { return value; });
  }
  if (constant.type == ElementType::kFloat16) {
    return convert<std::uint16_t, float>(constant.bytes, *count, from_f16);
  }
  return std::nullopt;
}

void connect(Graph& graph) {
  for (auto& value : graph.values) {
    value.producer = -1;
    value.consumers.clear();
  }
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    for (const auto output : graph.nodes[i].outputs) {
      if (output != kNoValue) graph.values[static_cast<std::size_t>(output)].producer = index;
    }
    for (const auto input : graph.nodes[i].inputs) {
      if (input == kNoValue) continue;
      graph.values[static_cast<std::size_t>(input)].consumers.push_back(index);
    }
  }
}

}  // namespace onnxlocal::ep
