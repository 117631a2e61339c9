#include "plugin/heads.h"

#include <algorithm>

namespace onnxlocal::ep {

bool is_head_dim(std::int64_t size) {
  constexpr std::int64_t kMost = 256;
  constexpr std::int64_t kStep = 16;
  return size > 0 && size <= kMost && size % kStep == 0;
}

HeadsShape read_heads(Ort::ConstKernelInfo info) {
  HeadsShape shape;
  shape.heads = static_cast<std::uint32_t>(integer_attribute(info, "num_heads", 0));
  shape.kv_heads = static_cast<std::uint32_t>(integer_attribute(info, "kv_num_heads", 0));
  shape.scale = number_attribute(info, "scale", 0);
  shape.softcap = number_attribute(info, "softcap", 0);
  shape.window = static_cast<std::uint32_t>(
      std::max<std::int64_t>(0, integer_attribute(info, "local_window_size", -1)));
  shape.rotates = integer_attribute(info, "do_rotary", 0) != 0;
  shape.is_interleaved = integer_attribute(info, "rotary_interleaved", 0) != 0;
  shape.norm_epsilon = number_attribute(info, "qk_norm_epsilon", 1e-6F);
  return shape;
}

std::string check_rows(const HeadsShape& shape, std::size_t head_dim, std::size_t rows,
                       const TensorView& query, const std::optional<TensorView>& key,
                       const std::optional<TensorView>& value) {
  if (!is_head_dim(static_cast<std::int64_t>(head_dim))) {
    return "the query is " + to_text(query.dims) + ", of which no head size can be made";
  }
  const std::size_t kv_width = shape.kv_heads * head_dim;
  const std::size_t query_width = shape.heads * head_dim + (key ? 0 : 2 * kv_width);
  if (key.has_value() != value.has_value()) return "key and value are given together or not at all";
  if (query.count() != rows * query_width) {
    return "the query is " + to_text(query.dims) + ", expected " + std::to_string(rows) +
           " rows of " + std::to_string(query_width);
  }
  if (key && (key->count() != rows * kv_width || value->count() != rows * kv_width)) {
    return "the key is " + to_text(key->dims) + ", the value " + to_text(value->dims) +
           ", expected " + std::to_string(rows) + " rows of " + std::to_string(kv_width);
  }
  return {};
}

std::string check_table(const std::optional<TensorView>& cos, const std::optional<TensorView>& sin,
                        std::size_t head_dim) {
  if (!cos || !sin) return "do_rotary asks for cos_cache and sin_cache";
  if (cos->dims.size() != 2 || !std::ranges::equal(cos->dims, sin->dims) ||
      2 * static_cast<std::size_t>(cos->dims[1]) > head_dim) {
    return "cos_cache is " + to_text(cos->dims) + ", sin_cache " + to_text(sin->dims) +
           ", expected twice [positions, up to " + std::to_string(head_dim / 2) + "]";
  }
  return {};
}

std::int64_t head_dim_of(const Graph& graph, const Node& node, std::size_t query_index,
                         std::size_t key_index) {
  const auto heads = node.integer("num_heads", 0);
  const auto kv_heads = node.integer("kv_num_heads", 0);
  if (heads <= 0 || kv_heads <= 0 || heads % kv_heads != 0) return 0;
  const bool is_packed = input_value(graph, node, key_index) == nullptr;
  const auto width = last_dim(input_value(graph, node, query_index));
  const auto all_heads = is_packed ? heads + 2 * kv_heads : heads;
  if (width <= 0 || width % all_heads != 0) return 0;
  const auto head_dim = width / all_heads;
  return is_head_dim(head_dim) ? head_dim : 0;
}

}  // namespace onnxlocal::ep
