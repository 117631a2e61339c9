#include "plugin/heads.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

AttentionShape attention_shape(const HeadsShape& shape, std::size_t head_dim) {
  return {.heads = shape.heads,
          .kv_heads = shape.kv_heads,
          .head_dim = static_cast<std::uint32_t>(head_dim),
          .scale = shape.scale != 0 ? shape.scale : 1.0F / std::sqrt(static_cast<float>(head_dim)),
          .softcap = shape.softcap,
          .window = shape.window};
}

HeadSteps make_head_steps(const HeadsShape& shape, std::size_t head_dim, InstructionSet set,
                          std::span<const std::int64_t> table_dims, const float* cos,
                          const float* sin) {
  HeadSteps steps{.kernels = row_kernels(set),
                  .head_dim = head_dim,
                  .epsilon = shape.norm_epsilon,
                  .is_interleaved = shape.is_interleaved,
                  .table = {}};
  if (shape.rotates) {
    steps.table = {.cos = cos,
                   .sin = sin,
                   .positions = static_cast<std::size_t>(table_dims[0]),
                   .half = static_cast<std::size_t>(table_dims[1])};
  }
  return steps;
}

HeadSteps make_head_steps(const HeadsShape& shape, std::size_t head_dim, InstructionSet set,
                          const std::optional<TensorView>& cos,
                          const std::optional<TensorView>& sin) {
  if (!shape.rotates) return make_head_steps(shape, head_dim, set, {}, nullptr, nullptr);
  return make_head_steps(shape, head_dim, set, cos->dims, cos->as<float>(), sin->as<float>());
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

std::string check_norm(const std::optional<TensorView>& weight, std::size_t head_dim) {
  if (!weight || weight->count() == head_dim) return {};
  return "a norm's weight is " + to_text(weight->dims) + ", the head's size " +
         std::to_string(head_dim);
}

std::string check_rotated_batch(const HeadsShape& shape, const RaggedBatch& batch, std::size_t rows,
                                std::size_t head_dim, const std::optional<TensorView>& cos,
                                const std::optional<TensorView>& sin) {
  std::size_t positions = std::numeric_limits<std::int32_t>::max();
  if (shape.rotates) {
    if (std::string problem = check_table(cos, sin, head_dim); !problem.empty()) return problem;
    positions = static_cast<std::size_t>(cos->dims[0]);
  }
  return check_ragged_batch(batch, rows, positions);
}

bool has_plain_cache(const Node& node) {
  return node.text("k_quant_type", "NONE") == "NONE" && node.text("v_quant_type", "NONE") == "NONE";
}

std::int64_t head_dim_of(const NodePorts& ports, const Node& node, std::size_t query_index,
                         std::size_t key_index) {
  const auto heads = node.integer("num_heads", 0);
  const auto kv_heads = node.integer("kv_num_heads", 0);
  if (heads <= 0 || kv_heads <= 0 || heads % kv_heads != 0) return 0;
  const bool is_packed = !ports.has(key_index);
  const Value* const query = ports.input(query_index);
  const auto width = query == nullptr || query->dims.empty() ? -1 : query->dims.back();
  const auto all_heads = is_packed ? heads + 2 * kv_heads : heads;
  if (width <= 0 || width % all_heads != 0) return 0;
  const auto head_dim = width / all_heads;
  return is_head_dim(head_dim) ? head_dim : 0;
}

}  // namespace onnxlocal::ep
