#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "attention/attention.h"
#include "plugin/ragged_batch.h"
#include "plugin/single_kernel.h"
#include "rows/rows.h"

namespace onnxlocal::ep {

/// Whether attention has this size of a head.
bool is_head_dim(std::int64_t size);

/// The heads of a node as its attributes give them.
struct HeadsShape {
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  float scale = 0;  ///< 0: 1 / sqrt(head_dim)
  float softcap = 0;
  std::uint32_t window = 0;  ///< 0: none.
  bool rotates = false;
  bool is_interleaved = false;
  float norm_epsilon = 1e-6F;
};
HeadsShape read_heads(Ort::ConstKernelInfo info);
/// What attention asks for, of heads of this size.
AttentionShape attention_shape(const HeadsShape& shape, std::size_t head_dim);

/// Cosines and sines by position, none where nothing is rotated. Borrowed.
struct RotaryTable {
  const float* cos = nullptr;  ///< [positions][half]
  const float* sin = nullptr;
  std::size_t positions = 0;
  std::size_t half = 0;
};

/// What becomes of a head before attention: a norm, where there is a weight, then a rotation, where
/// there is a table.
struct HeadSteps {
  const RowKernels& kernels;
  std::size_t head_dim = 0;
  float epsilon = 0;
  bool is_interleaved = false;
  RotaryTable table;

  /// `head` in place, at `position`, which the table has.
  void apply(float* head, const float* norm_weight, std::size_t position) const {
    if (norm_weight != nullptr) kernels.rms_norm(head, norm_weight, epsilon, head_dim, head);
    if (table.cos == nullptr) return;
    kernels.rotate(head, table.cos + position * table.half, table.sin + position * table.half,
                   table.half, is_interleaved);
  }
  /// `count` heads that lie one after the other.
  void apply_all(float* heads, std::size_t count, const float* norm_weight,
                 std::size_t position) const {
    for (std::size_t i = 0; i < count; ++i) apply(heads + i * head_dim, norm_weight, position);
  }
};
/// The steps of a node; `cos` and `sin` are float32 and of the dimensions `table_dims`, or null.
HeadSteps make_head_steps(const HeadsShape& shape, std::size_t head_dim, InstructionSet set,
                          std::span<const std::int64_t> table_dims, const float* cos,
                          const float* sin);
/// The same, with a float32 table of the node's own inputs, where it rotates.
HeadSteps make_head_steps(const HeadsShape& shape, std::size_t head_dim, InstructionSet set,
                          const std::optional<TensorView>& cos,
                          const std::optional<TensorView>& sin);

/// Where a node's query, key and value lie: apart, or packed in rows of
/// (heads + 2 * kv_heads) * head_dim.
template <class Number>
struct PackedOrApart {
  const Number* query = nullptr;
  const Number* key = nullptr;
  const Number* value = nullptr;
  std::size_t query_stride = 0;  ///< In numbers, as the one below.
  std::size_t key_stride = 0;
};
template <class Number>
PackedOrApart<Number> split_rows(const HeadsShape& shape, std::size_t head_dim,
                                 const TensorView& query, const std::optional<TensorView>& key,
                                 const std::optional<TensorView>& value) {
  const std::size_t heads_width = shape.heads * head_dim;
  const std::size_t kv_width = shape.kv_heads * head_dim;
  PackedOrApart<Number> split{.query = query.as<Number>()};
  if (key && value) {
    split.key = key->as<Number>();
    split.value = value->as<Number>();
    split.query_stride = heads_width;
    split.key_stride = kv_width;
  } else {
    split.key = split.query + heads_width;
    split.value = split.key + kv_width;
    split.query_stride = heads_width + 2 * kv_width;
    split.key_stride = split.query_stride;
  }
  return split;
}

/// Why query, key and value do not have `rows` rows of the widths that the heads ask for; empty
/// where they do.
std::string check_rows(const HeadsShape& shape, std::size_t head_dim, std::size_t rows,
                       const TensorView& query, const std::optional<TensorView>& key,
                       const std::optional<TensorView>& value);

/// Why a table cannot serve `head_dim`; empty where it can. The halves of its two parts are equal.
std::string check_table(const std::optional<TensorView>& cos, const std::optional<TensorView>& sin,
                        std::size_t head_dim);

/// Why a norm's weight is not one number for each of `head_dim`; empty where it is, or there is
/// none.
std::string check_norm(const std::optional<TensorView>& weight, std::size_t head_dim);

/// check_ragged_batch, with as many positions as the table has, where the node rotates.
std::string check_rotated_batch(const HeadsShape& shape, const RaggedBatch& batch, std::size_t rows,
                                std::size_t head_dim, const std::optional<TensorView>& cos,
                                const std::optional<TensorView>& sin);

/// For can_run: whether keys and values are kept as they come, in no type of fewer bits.
bool has_plain_cache(const Node& node);

/// For can_run: the head's size by the widths of the query and, where it is apart, the key; 0 where
/// the graph does not say it or attention cannot serve it.
std::int64_t head_dim_of(const NodePorts& ports, const Node& node, std::size_t query_index,
                         std::size_t key_index);

}  // namespace onnxlocal::ep
