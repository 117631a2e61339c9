#include "runtime/paged_attention.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "base/hash.h"
#include "model/onnx_file.h"
#include "runtime/paged_model.h"

namespace onnxlocal {

namespace {

/// Inputs of com.microsoft.GroupQueryAttention.
enum GroupQueryInput : int {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kSequenceLengths,
  kTotalLength,
  kCosCache,
  kSinCache,
  kPositionIds,
  kAttentionBias,
  kHeadSink,
  kKeyScale,
  kValueScale,
  kQueryNorm,
  kKeyNorm,
};

constexpr std::uint32_t kHeadDimStep = 16;
constexpr std::uint32_t kHeadDimMax = 256;

std::string input_of(const onnx::NodeProto& node, int index) {
  return index < node.input_size() ? node.input(index) : std::string();
}

const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, std::string_view name) {
  const auto found = std::ranges::find_if(
      node.attribute(), [name](const auto& attribute) { return attribute.name() == name; });
  return found == node.attribute().end() ? nullptr : &*found;
}

std::int64_t integer_of(const onnx::NodeProto& node, std::string_view name,
                        std::int64_t otherwise) {
  const onnx::AttributeProto* const attribute = find_attribute(node, name);
  return attribute == nullptr ? otherwise : attribute->i();
}

void add_integer(onnx::NodeProto& node, const char* name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

std::unexpected<Error> cannot(const onnx::NodeProto& node, std::string why) {
  return std::unexpected(unsupported(fmt::format("attention '{}' {}", node.name(), why)));
}

/// What our operator knows goes over; what it does not know must be switched off.
Result<void> check_attributes(const onnx::NodeProto& node) {
  constexpr std::array<std::string_view, 8> kKnown{
      "num_heads", "kv_num_heads",       "scale",          "softcap", "local_window_size",
      "do_rotary", "rotary_interleaved", "qk_norm_epsilon"};
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    const std::string& name = attribute.name();
    if (std::ranges::find(kKnown, name) != kKnown.end()) continue;
    bool is_off = false;
    if (name == "causal") is_off = attribute.i() == 1;
    if (name == "smooth_softmax") is_off = attribute.i() <= 0;
    if (name == "qk_output" || name == "kv_cache_bit_width" || name == "sliding_window_cache") {
      is_off = attribute.i() == 0;
    }
    if (name == "k_quant_type" || name == "v_quant_type") is_off = attribute.s() == "NONE";
    if (!is_off) return cannot(node, fmt::format("has the attribute {}", name));
  }
  return {};
}

Result<void> check_inputs(const onnx::NodeProto& node, const std::string& position_ids) {
  const std::string positions = input_of(node, kPositionIds);
  if (!positions.empty() && positions != position_ids) {
    return cannot(node, fmt::format("has positions of its own ('{}')", positions));
  }
  constexpr std::array kRefused{
      std::pair(kAttentionBias, "an attention bias"), std::pair(kHeadSink, "attention sinks"),
      std::pair(kKeyScale, "a quantized cache"), std::pair(kValueScale, "a quantized cache")};
  for (const auto& [index, what] : kRefused) {
    if (!input_of(node, index).empty()) return cannot(node, fmt::format("has {}", what));
  }
  if (input_of(node, kQuery).empty() || input_of(node, kPastKey).empty() ||
      input_of(node, kPastValue).empty()) {
    return cannot(node, "has no cache");
  }
  return {};
}

/// Heads and sizes of one attention, from its attributes and the cache's declared shape.
Result<PageGeometry> geometry_of(const onnx::GraphProto& graph, const onnx::NodeProto& node,
                                 std::uint32_t head_dim) {
  const std::string past = input_of(node, kPastKey);
  const auto input = std::ranges::find_if(
      graph.input(), [&past](const auto& value) { return value.name() == past; });
  if (input == graph.input().end()) return cannot(node, "has a cache that is not an input");
  const auto& tensor = input->type().tensor_type();
  if (tensor.elem_type() != onnx::TensorProto::FLOAT) {
    return cannot(node, "computes in another type than float32");
  }
  constexpr int kHeadDimAxis = 3;
  if (tensor.shape().dim_size() > kHeadDimAxis &&
      tensor.shape().dim(kHeadDimAxis).dim_value() > 0) {
    head_dim = static_cast<std::uint32_t>(std::min<std::int64_t>(
        tensor.shape().dim(kHeadDimAxis).dim_value(), std::int64_t{kHeadDimMax} + 1));
  }
  const std::int64_t heads = integer_of(node, "num_heads", 0);
  const std::int64_t kv_heads = integer_of(node, "kv_num_heads", 0);
  constexpr std::int64_t kHeadsMax = 4096;
  if (kv_heads < 1 || heads < kv_heads || heads > kHeadsMax || heads % kv_heads != 0) {
    return cannot(node, fmt::format("has {} heads over {}", heads, kv_heads));
  }
  if (head_dim == 0 || head_dim > kHeadDimMax || head_dim % kHeadDimStep != 0) {
    return cannot(node, fmt::format("has heads of {} (expected a multiple of {} up to {})",
                                    head_dim, kHeadDimStep, kHeadDimMax));
  }
  return PageGeometry{
      .layers = 1, .kv_heads = static_cast<std::uint32_t>(kv_heads), .head_dim = head_dim};
}

/// Our operator in the place of `old`.
onnx::NodeProto paged_node(const onnx::NodeProto& old, const PageGeometry& geometry,
                           std::uint32_t layer) {
  onnx::NodeProto node;
  node.set_name(old.name());
  node.set_domain(kPagedDomain);
  node.set_op_type(kPagedAttentionOp);
  const bool has_rotary = integer_of(old, "do_rotary", 0) != 0;
  const bool is_last = layer + 1 == geometry.layers;
  const auto pages = [](std::uint32_t index) {
    return index == 0 ? std::string(kPagesInput) : fmt::format("{}.{}", kPagesInput, index);
  };
  for (const std::string& name :
       {input_of(old, kQuery), input_of(old, kKey), input_of(old, kValue), pages(layer),
        std::string(kStartsInput), std::string(kPastInput), std::string(kTableInput),
        has_rotary ? input_of(old, kCosCache) : std::string(),
        has_rotary ? input_of(old, kSinCache) : std::string(), input_of(old, kQueryNorm),
        input_of(old, kKeyNorm)}) {
    node.add_input(name);
  }
  while (node.input(node.input_size() - 1).empty()) node.mutable_input()->RemoveLast();
  node.add_output(old.output(0));
  node.add_output(is_last ? std::string(kPagesOutput) : pages(layer + 1));
  for (const char* name : {"num_heads", "kv_num_heads", "scale", "softcap", "local_window_size",
                           "do_rotary", "rotary_interleaved", "qk_norm_epsilon"}) {
    const onnx::AttributeProto* const attribute = find_attribute(old, name);
    if (attribute != nullptr) *node.add_attribute() = *attribute;
  }
  add_integer(node, "head_dim", geometry.head_dim);
  add_integer(node, "layer", layer);
  add_integer(node, "layers", geometry.layers);
  add_integer(node, "kv_bits", geometry.type == KvCacheType::kInt8 ? 8 : 16);
  return node;
}

void describe(onnx::ValueInfoProto& value, const char* name, onnx::TensorProto::DataType type,
              std::initializer_list<const char*> dims) {
  value.set_name(name);
  auto& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  for (const char* dim : dims) tensor.mutable_shape()->add_dim()->set_dim_param(dim);
}

void add_ports(onnx::GraphProto& graph, const PageGeometry& geometry) {
  for (onnx::ValueInfoProto* const value : {graph.add_input(), graph.add_output()}) {
    describe(*value, kPagesInput, onnx::TensorProto::UINT8, {"pages", "page_bytes"});
    auto& shape = *value->mutable_type()->mutable_tensor_type()->mutable_shape();
    shape.mutable_dim(1)->set_dim_value(static_cast<std::int64_t>(geometry.page_bytes()));
  }
  graph.mutable_output(graph.output_size() - 1)->set_name(kPagesOutput);
  describe(*graph.add_input(), kStartsInput, onnx::TensorProto::INT32, {"starts"});
  describe(*graph.add_input(), kPastInput, onnx::TensorProto::INT32, {"sequences"});
  describe(*graph.add_input(), kTableInput, onnx::TensorProto::INT32,
           {"sequences", "sequence_pages"});
}

bool is_attention(const onnx::NodeProto& node) { return node.op_type() == "GroupQueryAttention"; }

/// The first bytes of a table, wherever it lies; empty for one that is computed.
Result<std::string> begin_of(const onnx::GraphProto& graph, const std::string& name,
                             const std::filesystem::path& folder) {
  // Frequencies differ from the second position on: a few rows say all.
  constexpr std::size_t kBytesMax = 16384;
  const auto found = std::ranges::find_if(
      graph.initializer(), [&name](const auto& tensor) { return tensor.name() == name; });
  if (found == graph.initializer().end()) return std::string();
  if (found->data_location() != onnx::TensorProto::EXTERNAL) {
    return found->has_raw_data() ? found->raw_data().substr(0, kBytesMax)
                                 : found->SerializeAsString().substr(0, kBytesMax);
  }
  TRY(const ExternalData data, external_data(*found, folder));
  std::string bytes(std::min<std::uint64_t>(kBytesMax, data.size_bytes), '\0');
  std::ifstream file(data.file, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(data.offset_bytes));
  if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: the table '{}' cannot be read", data.file.filename().string(), name)));
  }
  return bytes;
}

}  // namespace

Result<PageGeometry> page_attention(onnx::GraphProto& graph, const std::string& position_ids,
                                    std::uint32_t head_dim, KvCacheType type) {
  PageGeometry all;
  for (const onnx::NodeProto& node : graph.node()) {
    if (!is_attention(node)) continue;
    TRY_VOID(check_attributes(node));
    TRY_VOID(check_inputs(node, position_ids));
    TRY(const PageGeometry own, geometry_of(graph, node, head_dim));
    if (all.layers > 0 && (own.kv_heads != all.kv_heads || own.head_dim != all.head_dim)) {
      return cannot(node, "has other key/value heads than the layers before it");
    }
    all = {
        .layers = all.layers + 1, .kv_heads = own.kv_heads, .head_dim = own.head_dim, .type = type};
  }
  if (all.layers == 0) {
    return std::unexpected(unsupported("the graph has no GroupQueryAttention"));
  }
  std::uint32_t layer = 0;
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (is_attention(node)) node = paged_node(node, all, layer++);
  }
  add_ports(graph, all);
  return all;
}

Result<std::string> identify_rotation(const onnx::GraphProto& paged,
                                      const std::filesystem::path& folder) {
  constexpr int kPagedCos = 7;
  constexpr int kPagedSin = 8;
  constexpr std::size_t kDigits = 12;
  Sha256 hash;
  const auto add = [&hash](std::string_view text) { hash.update(std::as_bytes(std::span(text))); };
  std::set<std::string> seen;
  for (const onnx::NodeProto& node : paged.node()) {
    if (node.op_type() != kPagedAttentionOp) continue;
    add(fmt::format("{} {} {};", integer_of(node, "do_rotary", 0),
                    integer_of(node, "rotary_interleaved", 0),
                    integer_of(node, "local_window_size", -1)));
    for (const int table : {kPagedCos, kPagedSin}) {
      const std::string name = input_of(node, table);
      if (name.empty() || !seen.insert(name).second) continue;
      TRY(const std::string bytes, begin_of(paged, name, folder));
      add(bytes);
    }
  }
  return hash.finish_hex().substr(0, kDigits);
}

}  // namespace onnxlocal
