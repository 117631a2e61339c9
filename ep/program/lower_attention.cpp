// Attention over caches, and rotary positions.
#include <algorithm>
#include <cmath>
#include <utility>

#include "graph/text.h"
#include "program/lowering.h"

namespace onnxlocal::ep {

namespace {

/// The inputs that no kernel of ours has, by their place in GroupQueryAttention.
struct Unknown {
  std::size_t input;
  const char* what;
};
constexpr Unknown kUnknownInputs[] = {{9, "position_ids"},
                                      {10, "an attention bias"},
                                      {11, "a head sink"},
                                      {12, "a quantized cache"},
                                      {13, "a quantized cache"}};

std::uint32_t positive(std::int64_t number) {
  constexpr std::int64_t kMost = 1 << 20;
  return number > 0 && number <= kMost ? static_cast<std::uint32_t>(number) : 0;
}

}  // namespace

struct Lowering::AttentionInputs {
  RowValue q, k, v;
};

Index Lowering::add_sequences(const Sequences& sequences) {
  const auto found = std::ranges::find(program_.sequences, sequences);
  if (found != program_.sequences.end()) {
    return static_cast<Index>(found - program_.sequences.begin());
  }
  program_.sequences.push_back(sequences);
  return static_cast<Index>(program_.sequences.size() - 1);
}

/// Queries, keys and values: three values or one that holds all; and the shape they give.
Problem Lowering::attention_inputs(const Node& node, Attention& attention,
                                   AttentionInputs& inputs) {
  auto& shape = attention.shape;
  shape.heads = positive(node.integer("num_heads", 0));
  shape.kv_heads = positive(node.integer("kv_num_heads", 0));
  if (shape.heads == 0 || shape.kv_heads == 0 || shape.heads % shape.kv_heads != 0) {
    return "its numbers of heads do not fit";
  }
  const auto q = plain_rows(node.input(0));
  if (!q) return "its queries are not rows of numbers with a known width";
  const bool is_packed = node.input(1) == kNoValue && node.input(2) == kNoValue;
  const std::uint32_t heads = is_packed ? shape.heads + 2 * shape.kv_heads : shape.heads;
  shape.head_dim = q->view.width / heads;
  if (shape.head_dim * heads != q->view.width || shape.head_dim == 0 || shape.head_dim > 256 ||
      shape.head_dim % 16 != 0) {
    return text("heads of ", q->view.width, " / ", heads,
                " columns: only multiples of 16 up to 256 are known");
  }
  inputs.q = *q;
  if (!is_packed) {
    const auto k = plain_rows(node.input(1));
    const auto v = plain_rows(node.input(2));
    const auto width = shape.kv_heads * shape.head_dim;
    if (!k || !v || k->space != q->space || v->space != q->space || k->view.width != width ||
        v->view.width != width) {
      return "its keys or values are not rows of the wanted width";
    }
    inputs.k = *k;
    inputs.v = *v;
  } else {
    const auto part = [&](std::uint32_t first, std::uint32_t count) {
      const View view{.buffer = q->view.buffer,
                      .offset = q->view.offset + first * shape.head_dim,
                      .width = count * shape.head_dim};
      return RowValue{.view = view, .space = q->space, .group = view.width};
    };
    inputs.q = part(0, shape.heads);
    inputs.k = part(shape.heads, shape.kv_heads);
    inputs.v = part(shape.heads + shape.kv_heads, shape.kv_heads);
  }
  shape.scale = node.number("scale", 0);
  if (shape.scale == 0) shape.scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  shape.softcap = node.number("softcap", 0);
  // The row's own key counts, here as there.
  shape.window = positive(node.integer("local_window_size", -1));
  return std::nullopt;
}

/// Constant tables, or two pairs of them that an If chooses from.
Problem Lowering::find_rotary(const Node& node, std::size_t cos_input, Rotary& rotary) {
  const auto cos_value = node.input(cos_input);
  const auto sin_value = node.input(cos_input + 1);
  const auto choice = [this](ValueIndex index) {
    return index == kNoValue ? nullptr
                             : std::get_if<ChoiceValue>(&lowered_[static_cast<std::size_t>(index)]);
  };
  const auto* cos = choice(cos_value);
  const auto* sin = choice(sin_value);
  if (cos == nullptr || sin == nullptr) {
    return rotary_tables(cos_value, sin_value, rotary.tables, rotary.half);
  }
  if (cos->condition != sin->condition) return "its cosines and sines are of two choices";
  rotary.condition = cos->condition;
  if (auto problem = rotary_tables(cos->then, sin->then, rotary.tables, rotary.half)) {
    return problem;
  }
  std::uint32_t half = 0;
  if (auto problem = rotary_tables(cos->otherwise, sin->otherwise, rotary.otherwise, half)) {
    return problem;
  }
  if (half != rotary.half) return "the tables that it chooses from are of different widths";
  return std::nullopt;
}

Problem Lowering::rotary_tables(ValueIndex cos_value, ValueIndex sin_value, RotaryTables& tables,
                                std::uint32_t& half) {
  const auto* cos = constant(cos_value);
  const auto* sin = constant(sin_value);
  if (cos == nullptr || sin == nullptr || cos->dims.size() != 2 || cos->dims != sin->dims) {
    return "its cosines and sines are not constant tables of one shape";
  }
  tables.positions = positive(cos->dims[0]);
  half = positive(cos->dims[1]);
  const auto count = std::size_t{tables.positions} * half;
  if (count == 0) return "its cosines are empty";
  tables.cos = vector(cos_value, count);
  tables.sin = vector(sin_value, count);
  if (tables.cos == kNone || tables.sin == kNone) return "its cosines or sines are no floats";
  return std::nullopt;
}

Problem Lowering::attention_rotary(const Node& node, std::size_t cos_input, Attention& attention) {
  if (node.integer("do_rotary", 0) == 0) return std::nullopt;
  if (auto problem = find_rotary(node, cos_input, attention.rotary)) return problem;
  attention.rotary.is_interleaved = node.integer("rotary_interleaved", 0) != 0;
  if (2 * attention.rotary.half > attention.shape.head_dim) return "it rotates more than a head";
  return std::nullopt;
}

Problem Lowering::attention_norms(const Node& node, std::size_t norm_input, Attention& attention) {
  const auto q_norm = node.input(norm_input);
  const auto k_norm = node.input(norm_input + 1);
  if (q_norm == kNoValue && k_norm == kNoValue) return std::nullopt;
  attention.q_norm = vector(q_norm, attention.shape.head_dim);
  attention.k_norm = vector(k_norm, attention.shape.head_dim);
  attention.norm_epsilon = node.number("qk_norm_epsilon", 1e-6F);
  if (attention.q_norm == kNone || attention.k_norm == kNone) {
    return "its norms are not one constant number for each column of a head";
  }
  return std::nullopt;
}

void Lowering::emit_attention(const Node& node, Attention attention,
                              const AttentionInputs& inputs) {
  const auto made = new_rows(attention.shape.heads * attention.shape.head_dim, inputs.q.space);
  program_.attentions.push_back(attention);
  auto& instruction = emit(Op::kAttention);
  instruction.a = inputs.q.view;
  instruction.b = inputs.k.view;
  instruction.c = inputs.v.view;
  instruction.out = made.view;
  instruction.attention = static_cast<Index>(program_.attentions.size() - 1);
  define(node.output(0), made);
}

Problem Lowering::lower_rotary(const Node& node) {
  const auto x = plain_rows(node.input(0));
  const auto positions = integers(node.input(1));
  if (!x || positions == kNone) return "its input is not rows with positions";
  if (node.integer("is_packed_batching", 0) != 0 || node.number("scale", 1) != 1) {
    return "packed batches and scales are unknown";
  }
  Rotary rotary;
  if (auto problem = find_rotary(node, 2, rotary)) return problem;
  rotary.is_interleaved = node.integer("interleaved", 0) != 0;
  const auto heads = positive(node.integer("num_heads", 0));
  const auto partial = positive(node.integer("rotary_embedding_dim", 0));
  const std::uint32_t head = partial != 0 && heads != 0 ? x->view.width / heads : 2 * rotary.half;
  if (head == 0 || x->view.width % head != 0 || 2 * rotary.half > head ||
      (partial != 0 && partial != 2 * rotary.half)) {
    return "its heads do not fit its cosines";
  }
  program_.rotaries.push_back(rotary);
  const auto made = emit_unary(Op::kRotate, *x);
  auto& rotate = program_.instructions.back();
  rotate.integers = positions;
  rotate.group = head;
  rotate.rotary = static_cast<Index>(program_.rotaries.size() - 1);
  define(node.output(0), made);
  return std::nullopt;
}

/// Caches [batch, kv_heads, capacity, head_dim] that nobody else looks at.
Problem Lowering::group_query_caches(const Node& node, Attention& attention) {
  attention.past_key = input(node.input(3));
  attention.past_value = input(node.input(4));
  attention.present_key = output(node.output(1));
  attention.present_value = output(node.output(2));
  const bool has_past = node.input(3) != kNoValue || node.input(4) != kNoValue;
  if (has_past && (attention.past_key == kNone || attention.past_value == kNone)) {
    return "its caches are not the graph's inputs";
  }
  if (attention.present_key == kNone || attention.present_value == kNone) {
    return "its caches are not the graph's outputs";
  }
  attention.cache_type = value(node.output(1)).type;
  for (const auto index : {node.input(3), node.input(4), node.output(1), node.output(2)}) {
    if (index == kNoValue) continue;
    if (!is_float(index) || value(index).type != attention.cache_type) {
      return "only caches of float32 or float16 are known";
    }
    if (value(index).consumers.size() != (value(index).is_input ? 1U : 0U)) {
      return text("the cache '", value(index).name, "' has another use");
    }
  }
  return std::nullopt;
}

Problem Lowering::lower_group_query(const Node& node) {
  for (const auto& unknown : kUnknownInputs) {
    if (node.input(unknown.input) != kNoValue) return text(unknown.what, " is unknown");
  }
  for (const char* name :
       {"smooth_softmax", "sliding_window_cache", "qk_output", "kv_cache_bit_width"}) {
    if (node.integer(name, 0) > 0) return text("'", name, "' is unknown");
  }
  for (const char* name : {"k_quant_type", "v_quant_type"}) {
    if (node.text(name, "NONE") != "NONE") return text("'", name, "' is unknown");
  }
  if (auto problem = refuse_used(node, {3})) return problem;
  Attention attention;
  AttentionInputs inputs;
  if (auto problem = attention_inputs(node, attention, inputs)) return problem;
  if (rank_of_space(inputs.q.space) != 2) return "its queries are not [batch, rows, columns]";
  if (auto problem = attention_rotary(node, 7, attention)) return problem;
  if (auto problem = attention_norms(node, 14, attention)) return problem;
  if (auto problem = group_query_caches(node, attention)) return problem;
  const auto lengths = integers(node.input(5));
  const auto total = integers(node.input(6));
  if (lengths == kNone || total == kNone) return "its lengths are no integers";
  attention.sequences =
      add_sequences({.space = inputs.q.space, .lengths = lengths, .total = total});
  emit_attention(node, attention, inputs);
  return std::nullopt;
}

Problem Lowering::lower_paged_group_query(const Node& node) {
  Attention attention;
  AttentionInputs inputs;
  if (auto problem = attention_inputs(node, attention, inputs)) return problem;
  if (node.integer("head_dim", attention.shape.head_dim) != attention.shape.head_dim) {
    return "head_dim is not the width of a head";
  }
  if (auto problem = attention_rotary(node, 7, attention)) return problem;
  if (auto problem = attention_norms(node, 9, attention)) return problem;
  const auto layers = positive(node.integer("layers", 0));
  const auto layer = node.integer("layer", 0);
  if (layer < 0 || layer >= layers) return "its layer is not below its layers";
  attention.layer = static_cast<std::uint32_t>(layer);
  const auto kv_type = kv_type_of_bits(node.integer("kv_bits", 16));
  if (!kv_type) return "its kv_bits are neither 16 nor 8";
  attention.shape.kv_type = *kv_type;
  const auto layer_bytes = layer_page_bytes(attention.shape);
  PagesValue pages;
  if (const auto outside = input(node.input(3)); outside != kNone) {
    pages.cache = static_cast<Index>(program_.page_caches.size());
    program_.page_caches.push_back(
        {.input = outside, .layers = layers, .layer_bytes = layer_bytes});
    cache_versions_.push_back(0);
    if (value(node.input(3)).consumers.size() != 1) return "its pages have another use";
  } else {
    const auto index = node.input(3);
    if (index == kNoValue) return "it has no pages";
    const auto* found = std::get_if<PagesValue>(&lowered_[static_cast<std::size_t>(index)]);
    if (found == nullptr) return "its pages are neither an input nor another layer's";
    pages = *found;
  }
  const auto cache = static_cast<std::size_t>(pages.cache);
  if (pages.version != cache_versions_[cache]) return "its pages were written by another layer";
  if (program_.page_caches[cache].layers != layers ||
      program_.page_caches[cache].layer_bytes != layer_bytes) {
    return "its pages are of another shape than the other layers'";
  }
  cache_versions_[cache] = ++pages.version;
  attention.pages = pages.cache;
  const Sequences sequences{.is_paged = true,
                            .space = inputs.q.space,
                            .starts = integers(node.input(4)),
                            .past = integers(node.input(5)),
                            .table = integers(node.input(6))};
  if (sequences.starts == kNone || sequences.past == kNone || sequences.table == kNone) {
    return "its lengths or pages' numbers are no integers";
  }
  attention.sequences = add_sequences(sequences);
  emit_attention(node, attention, inputs);
  define(node.output(1), pages);
  return std::nullopt;
}

}  // namespace onnxlocal::ep
