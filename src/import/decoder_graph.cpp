#include "import/decoder_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "model/model_config.h"

namespace onnxlocal {
namespace {

using onnx::TensorProto;

/// A matrix that is asked for by name.
struct MatrixName {
  std::string name;  ///< Without ".weight" and ".bias".
  std::uint64_t rows = 0;
  RowOrder order = RowOrder::kHalves;
  std::uint32_t heads = 1;
};

class DecoderGraph {
 public:
  DecoderGraph(const DecoderShape& shape, TensorTable& tensors, GraphBuilder& graph)
      : shape_(shape), tensors_(tensors), graph_(graph) {}

  Result<void> build() {
    add_inputs();
    TRY(const auto* table,
        tensors_.matrix("token_embd.weight", shape_.hidden_size, shape_.vocabulary_size));
    const WeightMatrix embedding({{.tensor = table}});
    residual_ = embedding.add_lookup(graph_, names_.input_ids, "embedding");
    add_positions();
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) TRY_VOID(add_layer(layer));
    TRY(const auto normed, add_norm("output_norm.weight", "output_norm"));
    return add_logits(normed, embedding);
  }

 private:
  void add_inputs() {
    const std::int64_t kv_heads = shape_.kv_heads;
    const std::int64_t head_dim = shape_.head_dim;
    graph_.input(names_.input_ids, TensorProto::INT64, {"batch_size", "sequence_length"});
    graph_.input(names_.attention_mask, TensorProto::INT64,
                 {"batch_size", "total_sequence_length"});
    // One row: onnxruntime-genai then makes room for the last position alone. More rows come out
    // where `logits_positions` asks for them.
    graph_.output(names_.logits, TensorProto::FLOAT,
                  {"batch_size", std::int64_t{1}, std::int64_t{shape_.vocabulary_size}});
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      for (const auto& name : {names_.past_key, names_.past_value}) {
        graph_.input(layer_name(name, layer), TensorProto::FLOAT,
                     {"batch_size", kv_heads, "past_sequence_length", head_dim});
      }
      for (const auto& name : {names_.present_key, names_.present_value}) {
        graph_.output(layer_name(name, layer), TensorProto::FLOAT,
                      {"batch_size", kv_heads, "total_sequence_length", head_dim});
      }
    }
    graph_.input(names_.logits_positions, TensorProto::INT64, {"logits_count"});
    const std::int64_t last = -1;
    graph_.integers(names_.logits_positions, {&last, 1});
  }

  /// What GroupQueryAttention needs to know of positions: lengths from the mask, and the rotation.
  void add_positions() {
    const auto one = graph_.scalar("constant_1", 1);
    const std::int64_t axis = 1;
    const auto axes = graph_.integers("axes_1", {&axis, 1});
    const auto length = graph_.value("ReduceSum", {names_.attention_mask, axes}, "mask_sum",
                                     {{"keepdims", std::int64_t{0}}});
    const auto last = graph_.value("Sub", {length, one}, "mask_sum_minus_1");
    lengths_ =
        graph_.value("Cast", {last}, "seqlens_k", {{"to", std::int64_t{TensorProto::INT32}}});
    const auto shape = graph_.value("Shape", {names_.attention_mask}, "mask_shape");
    const auto total =
        graph_.value("Gather", {shape, one}, "mask_length", {{"axis", std::int64_t{0}}});
    total_length_ = graph_.value("Cast", {total}, "total_sequence_length",
                                 {{"to", std::int64_t{TensorProto::INT32}}});
    cosines_ = add_rope_table("cos_cache", rope_cosines);
    sines_ = add_rope_table("sin_cache", rope_sines);
  }

  template <class Fill>
  ValueName add_rope_table(const std::string& name, Fill fill) {
    const std::uint64_t positions = shape_.context_tokens;
    const std::uint64_t pairs = shape_.head_dim / 2;
    return graph_.external(
        name, TensorProto::FLOAT,
        {static_cast<std::int64_t>(positions), static_cast<std::int64_t>(pairs)},
        positions * pairs * sizeof(float),
        [positions, pairs, fill, frequencies = rope_frequencies(shape_.rope, shape_.head_dim)](
            const ByteSink& sink) -> Result<void> {
          constexpr std::uint64_t kRows = 1024;
          std::vector<float> rows(kRows * pairs);
          for (std::uint64_t first = 0; first < positions; first += kRows) {
            const auto count = std::min(kRows, positions - first);
            for (std::uint64_t row = 0; row < count; ++row) {
              fill(frequencies, first + row, std::span(rows).subspan(row * pairs, pairs));
            }
            TRY_VOID(sink(std::as_bytes(std::span(rows).first(count * pairs))));
          }
          return {};
        });
  }

  Result<void> add_layer(std::uint32_t layer) {
    prefix_ = fmt::format("blk.{}.", layer);
    TRY(const auto attention_input, add_norm(prefix_ + "attn_norm.weight", prefix_ + "attn_norm"));
    TRY(update_, add_attention(layer, attention_input));
    TRY(const auto forward_input, add_norm(prefix_ + "ffn_norm.weight", prefix_ + "ffn_norm"));
    TRY(update_, add_feed_forward(forward_input));
    return {};
  }

  /// Adds the last block's update to the residual stream and norms the sum, in one operator.
  Result<ValueName> add_norm(const std::string& weight, const ValueName& output) {
    TRY(const auto values, tensors_.vector(weight, shape_.hidden_size));
    const auto gain = graph_.floats(weight, values);
    if (update_.empty()) {
      return graph_.value("SimplifiedLayerNormalization", {residual_, gain}, output,
                          {{"axis", std::int64_t{-1}},
                           {"epsilon", shape_.norm_epsilon},
                           {"stash_type", std::int64_t{1}}});
    }
    const auto sum = output + ".residual";
    graph_.node("SkipSimplifiedLayerNormalization", {residual_, update_, gain},
                {output, "", "", sum}, {{"epsilon", shape_.norm_epsilon}}, kMicrosoftDomain);
    residual_ = sum;
    return output;
  }

  Result<ValueName> add_attention(std::uint32_t layer, const ValueName& input) {
    const auto heads = shape_.heads;
    const auto kv_heads = shape_.kv_heads;
    const std::uint64_t query_rows = std::uint64_t{heads} * shape_.head_dim;
    const std::uint64_t kv_rows = std::uint64_t{kv_heads} * shape_.head_dim;
    const auto order = shape_.query_key_rows;
    TRY(auto inputs, add_products({{prefix_ + "attn_q", query_rows, order, heads},
                                   {prefix_ + "attn_k", kv_rows, order, kv_heads},
                                   {prefix_ + "attn_v", kv_rows, RowOrder::kHalves, 1}},
                                  shape_.hidden_size, input, prefix_ + "attn_qkv"));
    inputs.resize(3);  // One packed product stands for all three.
    inputs.insert(inputs.end(),
                  {layer_name(names_.past_key, layer), layer_name(names_.past_value, layer),
                   lengths_, total_length_, cosines_, sines_});
    std::vector<Attribute> attributes = {
        {"num_heads", std::int64_t{heads}},
        {"kv_num_heads", std::int64_t{kv_heads}},
        {"do_rotary", std::int64_t{1}},
        {"rotary_interleaved", std::int64_t{0}},
        {"scale", static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape_.head_dim)))}};
    if (shape_.window_tokens && *shape_.window_tokens < shape_.context_tokens) {
      attributes.push_back({"local_window_size", std::int64_t{*shape_.window_tokens}});
    }
    const auto attended = prefix_ + "attention";
    graph_.node(
        "GroupQueryAttention", std::move(inputs),
        {attended, layer_name(names_.present_key, layer), layer_name(names_.present_value, layer)},
        std::move(attributes), kMicrosoftDomain);
    return add_product({.name = prefix_ + "attn_output", .rows = shape_.hidden_size}, query_rows,
                       attended);
  }

  /// down(silu(gate(x)) * up(x)). Gate and up stacked as one matrix are no faster (measured), and
  /// apart they are the pattern that other runtimes fuse.
  Result<ValueName> add_feed_forward(const ValueName& input) {
    const std::uint64_t rows = shape_.feed_forward_size;
    TRY(const auto gate,
        add_product({.name = prefix_ + "ffn_gate", .rows = rows}, shape_.hidden_size, input));
    TRY(const auto up,
        add_product({.name = prefix_ + "ffn_up", .rows = rows}, shape_.hidden_size, input));
    const auto sigmoid = graph_.value("Sigmoid", {gate}, gate + ".sigmoid");
    const auto silu = graph_.value("Mul", {gate, sigmoid}, gate + ".silu");
    const auto gated = graph_.value("Mul", {silu, up}, prefix_ + "ffn_gated");
    return add_product({.name = prefix_ + "ffn_down", .rows = shape_.hidden_size}, rows, gated);
  }

  Result<void> add_logits(const ValueName& normed, const WeightMatrix& embedding) {
    const auto wanted = graph_.value("Gather", {normed, names_.logits_positions}, "wanted",
                                     {{"axis", std::int64_t{1}}});
    if (!tensors_.has("output.weight")) {
      embedding.add_product_of_table(graph_, wanted, names_.logits);
      return {};
    }
    TRY(const auto* output,
        tensors_.matrix("output.weight", shape_.hidden_size, shape_.vocabulary_size));
    WeightMatrix({{.tensor = output}}).add_product(graph_, wanted, names_.logits);
    return {};
  }

  Result<ValueName> add_product(const MatrixName& matrix, std::uint64_t columns,
                                const ValueName& input) {
    TRY(auto outputs, add_products({matrix}, columns, input, matrix.name));
    return std::move(outputs.front());
  }

  /// Products of one input with several matrices: as one product where the types are the same (for
  /// attention 3 to 7 % faster on the CPU when decoding, measured), else one output for each.
  Result<std::vector<ValueName>> add_products(const std::vector<MatrixName>& matrices,
                                              std::uint64_t columns, const ValueName& input,
                                              const ValueName& packed_output) {
    std::vector<MatrixPart> parts;
    for (const auto& matrix : matrices) {
      TRY(const auto* tensor, tensors_.matrix(matrix.name + ".weight", columns, matrix.rows));
      parts.push_back({tensor, matrix.order, matrix.heads});
    }
    const auto type = parts.front().tensor->type;
    const bool is_packed = std::ranges::all_of(
        parts, [type](const MatrixPart& part) { return part.tensor->type == type; });
    std::vector<ValueName> outputs;
    if (is_packed) {
      TRY(auto output, add_product_and_bias(parts, matrices, input, packed_output));
      outputs.push_back(std::move(output));
      return outputs;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      TRY(auto output, add_product_and_bias({parts[i]}, {matrices[i]}, input, matrices[i].name));
      outputs.push_back(std::move(output));
    }
    return outputs;
  }

  Result<ValueName> add_product_and_bias(const std::vector<MatrixPart>& parts,
                                         const std::vector<MatrixName>& matrices,
                                         const ValueName& input, const ValueName& output) {
    std::vector<float> bias;
    bool has_bias = false;
    for (const auto& matrix : matrices) {
      TRY(const auto found, tensors_.find_vector(matrix.name + ".bias", matrix.rows));
      has_bias = has_bias || found.has_value();
      for (std::uint64_t row = 0; row < matrix.rows; ++row) {
        const auto from = source_row(matrix.order, matrix.rows / matrix.heads, row);
        bias.push_back(found ? (*found)[from] : 0.0F);
      }
    }
    const WeightMatrix weights(parts);
    if (!has_bias) return weights.add_product(graph_, input, output);
    const auto product = weights.add_product(graph_, input, output + ".product");
    return graph_.value("Add", {product, graph_.floats(output + ".bias", bias)}, output);
  }

  const DecoderShape& shape_;
  TensorTable& tensors_;
  GraphBuilder& graph_;
  const GraphNames names_;

  ValueName residual_;  ///< The stream before the last block's update.
  ValueName update_;    ///< What that block adds; empty before the first.
  ValueName lengths_;
  ValueName total_length_;
  ValueName cosines_;
  ValueName sines_;
  std::string prefix_;  ///< "blk.7."
};

}  // namespace

Result<void> build_decoder(const DecoderShape& shape, TensorTable& tensors, GraphBuilder& graph) {
  // Read with the shape (`RopeSettings::pair_factors`).
  if (!shape.rope.pair_factors.empty()) {
    TRY(const auto factors, tensors.vector("rope_freqs.weight", shape.rope.pair_factors.size()));
  }
  return DecoderGraph(shape, tensors, graph).build();
}

}  // namespace onnxlocal
