#include "program/test_graph.h"

#include <cmath>
#include <cstring>

namespace onnxlocal::ep::testing {

namespace {

template <class Element>
std::vector<std::byte> bytes_of(const std::vector<Element>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(Element));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// Emits a tiny model node by node.
class Emitter {
 public:
  Emitter(const TinyModel& model, GraphBuilder& builder) : m_(model), b_(builder) {}

  void run() {
    const std::vector<std::int64_t> rows = {m_.is_paged ? 1 : -1, -1};
    b_.input("input_ids", ElementType::kInt64, rows);
    add_lengths();
    embed();
    for (std::int64_t i = 0; i < m_.layers; ++i) {
      layer_ = "layer" + std::to_string(i) + ".";
      add_update(attention(norm("attention_norm"), i), "post_attention_norm");
      add_update(feed_forward(norm("feed_forward_norm")), "post_feed_forward_norm");
    }
    layer_ = "final.";
    logits(norm("norm"));
  }

 private:
  void add_lengths() {
    if (m_.is_paged) {
      b_.input("pages", ElementType::kUint8, {-1, -1});
      b_.input("sequence_starts", ElementType::kInt32, {-1});
      b_.input("past_lengths", ElementType::kInt32, {-1});
      b_.input("page_table", ElementType::kInt32, {-1, -1});
      pages_ = "pages";
    } else {
      b_.input("attention_mask", ElementType::kInt64, {-1, -1});
      b_.integers("axes", {1}, {1});
      b_.integers("one", {1}, {1});
      b_.integers("one_scalar", {1}, {});
      b_.node("ReduceSum", {"attention_mask", "axes"}, {"sum"}, {{"keepdims", std::int64_t{0}}});
      b_.node("Sub", {"sum", "one"}, {"last"});
      b_.node("Cast", {"last"}, {"seqlens_k"}, {{"to", std::int64_t{6}}});
      b_.node("Shape", {"attention_mask"}, {"mask_shape"});
      b_.node("Gather", {"mask_shape", "one_scalar"}, {"total"}, {{"axis", std::int64_t{0}}});
      b_.node("Cast", {"total"}, {"total_length"}, {{"to", std::int64_t{6}}});
    }
    if (m_.has_outer_rotary) b_.input("position_ids", ElementType::kInt64, {-1, -1});
    const std::int64_t half = m_.head_dim / 2;
    std::vector<float> cos;
    std::vector<float> sin;
    for (std::int64_t position = 0; position < m_.positions; ++position) {
      for (std::int64_t i = 0; i < half; ++i) {
        const double rate = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
        cos.push_back(static_cast<float>(std::cos(static_cast<double>(position) * rate)));
        sin.push_back(static_cast<float>(std::sin(static_cast<double>(position) * rate)));
      }
    }
    b_.floats("cos", cos, {m_.positions, half});
    b_.floats("sin", sin, {m_.positions, half});
  }

  void embed() {
    if (m_.has_float_embedding) {
      b_.random_floats("table", {m_.vocabulary, m_.hidden}, 0, 1);
      residual_ = m_.has_outer_embedding
                      ? b_.input("inputs_embeds", ElementType::kFloat32, {-1, -1, m_.hidden})
                      : b_.node("Gather", {"table", "input_ids"}, {"embedding"});
    } else {
      const auto parts = matrix("output", m_.vocabulary, m_.hidden, 8, false);
      b_.integers("table_shape", {m_.vocabulary, m_.hidden}, {2});
      b_.node("Reshape", {parts[0], "table_shape"}, {"table"});
      residual_ = b_.node("GatherBlockQuantized", {"table", "input_ids", parts[1]}, {"embedding"},
                          {{"bits", std::int64_t{8}},
                           {"block_size", m_.block},
                           {"gather_axis", std::int64_t{0}},
                           {"quantize_axis", std::int64_t{1}}},
                          kMicrosoft);
    }
    if (m_.embedding_scale != 1) {
      b_.floats("embedding_factor", {m_.embedding_scale}, {});
      residual_ = b_.node("Mul", {residual_, "embedding_factor"}, {"scaled_embedding"});
    }
  }

  /// Quants, scales and (where the model has them) zero points.
  std::vector<std::string> matrix(const std::string& name, std::int64_t rows, std::int64_t columns,
                                  std::int64_t bits, bool has_zeros) {
    const std::int64_t blocks = (columns + m_.block - 1) / m_.block;
    std::vector<std::uint8_t> quants(static_cast<std::size_t>(rows * blocks * m_.block * bits / 8));
    for (auto& quant : quants) quant = static_cast<std::uint8_t>(b_.random()() & 0xffU);
    const float spread = (bits == 4 ? 0.25F : 0.015F) / std::sqrt(static_cast<float>(columns));
    std::vector<std::string> parts = {
        b_.bytes(name + ".quants", quants, {rows, blocks, m_.block * bits / 8}),
        b_.random_floats(name + ".scales", {rows, blocks}, spread, spread / 2)};
    if (has_zeros && m_.zeros == TinyModel::Zeros::kBytes) {
      std::vector<std::uint8_t> zeros(static_cast<std::size_t>(rows * ((blocks * bits + 7) / 8)));
      for (auto& zero : zeros) zero = bits == 4 ? 0x88 : static_cast<std::uint8_t>(120 + zero % 16);
      parts.push_back(b_.bytes(name + ".zeros", zeros, {static_cast<std::int64_t>(zeros.size())}));
    } else if (has_zeros && m_.zeros == TinyModel::Zeros::kFloats) {
      const float middle = bits == 4 ? 7.5F : 127.5F;
      parts.push_back(b_.random_floats(name + ".zeros", {rows * blocks}, middle, 1.3F));
    }
    return parts;
  }

  std::string product(const std::string& name, const std::string& x, std::int64_t rows,
                      std::int64_t columns, bool has_bias_input = false) {
    auto parts = matrix(layer_ + name, rows, columns, m_.bits, true);
    std::vector<std::string> inputs = {x};
    inputs.insert(inputs.end(), parts.begin(), parts.end());
    if (has_bias_input) {
      inputs.resize(6);
      inputs[5] = b_.random_floats(layer_ + name + ".bias", {rows}, 0, 0.5F);
    }
    return b_.node("MatMulNBits", inputs, {layer_ + name},
                   {{"N", rows},
                    {"K", columns},
                    {"bits", m_.bits},
                    {"block_size", m_.block},
                    {"accuracy_level", std::int64_t{4}}},
                   kMicrosoft);
  }

  std::string biased(const std::string& x, std::int64_t width) {
    if (!m_.has_biases) return x;
    b_.random_floats(x + ".bias", {width}, 0, 0.5F);
    return b_.node("Add", {x, x + ".bias"}, {x + ".biased"});
  }

  std::string norm(const std::string& name) {
    const auto weight = b_.random_floats(layer_ + name + ".weight", {m_.hidden}, 1, 0.5F);
    const GraphBuilder::Attributes epsilon = {{"epsilon", 1e-5F}};
    const auto out = layer_ + name;
    const bool is_layer = m_.has_layer_norms;
    std::vector<std::string> weights = {weight};
    if (is_layer) weights.push_back(b_.random_floats(out + ".offset", {m_.hidden}, 0, 0.5F));
    const std::string kind = is_layer ? "LayerNormalization" : "SimplifiedLayerNormalization";
    if (!update_.empty() && !m_.has_plain_adds) {
      std::vector<std::string> inputs = {residual_, update_};
      inputs.insert(inputs.end(), weights.begin(), weights.end());
      const bool is_last = layer_ == "final.";
      b_.node("Skip" + kind, inputs,
              is_last ? std::vector{out} : std::vector<std::string>{out, "", "", out + ".sum"},
              epsilon, kMicrosoft);
      residual_ = out + ".sum";
      return out;
    }
    if (!update_.empty()) residual_ = b_.node("Add", {residual_, update_}, {out + ".sum"});
    std::vector<std::string> inputs = {residual_};
    inputs.insert(inputs.end(), weights.begin(), weights.end());
    return b_.node(kind, inputs, {out}, epsilon);
  }

  void add_update(const std::string& update, const std::string& name) {
    update_ = update;
    if (!m_.has_post_norms) return;
    const auto weight = b_.random_floats(layer_ + name + ".weight", {m_.hidden}, 1, 0.5F);
    update_ = b_.node("SimplifiedLayerNormalization", {update, weight}, {layer_ + name},
                      {{"epsilon", 1e-5F}});
  }

  std::string head_norm(const std::string& x, std::int64_t heads) {
    if (!m_.has_head_norms) return x;
    b_.integers(x + ".apart", {0, -1, m_.head_dim}, {3});
    b_.integers(x + ".together", {0, -1, heads * m_.head_dim}, {3});
    b_.random_floats(x + ".norm_weight", {m_.head_dim}, 1, 0.5F);
    b_.node("Reshape", {x, x + ".apart"}, {x + ".heads"});
    b_.node("SimplifiedLayerNormalization", {x + ".heads", x + ".norm_weight"}, {x + ".normed"},
            {{"epsilon", 1e-6F}});
    return b_.node("Reshape", {x + ".normed", x + ".together"}, {x + ".rows"});
  }

  std::string rotate(const std::string& x) {
    if (!m_.has_outer_rotary) return x;
    return b_.node("RotaryEmbedding", {x, "position_ids", "cos", "sin"}, {x + ".rotated"}, {},
                   kMicrosoft);
  }

  std::string attention(const std::string& x, std::int64_t layer) {
    const std::int64_t q_width = m_.heads * m_.head_dim;
    const std::int64_t kv_width = m_.kv_heads * m_.head_dim;
    std::string q;
    std::string k;
    std::string v;
    if (m_.has_packed_qkv || m_.has_split_qkv) {
      q = biased(product("qkv", x, q_width + 2 * kv_width, m_.hidden), q_width + 2 * kv_width);
      if (m_.has_split_qkv) {
        b_.integers(layer_ + "sizes", {q_width, kv_width, kv_width}, {3});
        b_.node("Split", {q, layer_ + "sizes"}, {layer_ + "q", layer_ + "k", layer_ + "v"},
                {{"axis", std::int64_t{-1}}});
        q = layer_ + "q";
        k = layer_ + "k";
        v = layer_ + "v";
      }
    } else {
      q = biased(product("q", x, q_width, m_.hidden), q_width);
      k = biased(product("k", x, kv_width, m_.hidden), kv_width);
      v = biased(product("v", x, kv_width, m_.hidden), kv_width);
    }
    if (!k.empty()) {
      q = rotate(head_norm(q, m_.heads));
      k = rotate(head_norm(k, m_.kv_heads));
    }
    const auto out = m_.is_paged ? paged(q, k, v, layer) : group_query(q, k, v, layer);
    return product("attention_output", out, m_.hidden, q_width, m_.has_output_bias);
  }

  GraphBuilder::Attributes attention_attributes() const {
    GraphBuilder::Attributes attributes = {{"num_heads", m_.heads},
                                           {"kv_num_heads", m_.kv_heads},
                                           {"do_rotary", std::int64_t{m_.has_outer_rotary ? 0 : 1}},
                                           {"local_window_size", m_.window},
                                           {"softcap", m_.attention_softcap},
                                           {"scale", 0.0F}};
    if (m_.has_inner_norms) attributes["qk_norm_epsilon"] = 1e-6F;
    return attributes;
  }

  void add_inner_norms(std::vector<std::string>& inputs, std::size_t first) {
    if (!m_.has_inner_norms) return;
    inputs.resize(first);
    inputs.push_back(b_.random_floats(layer_ + "q_norm", {m_.head_dim}, 1, 0.5F));
    inputs.push_back(b_.random_floats(layer_ + "k_norm", {m_.head_dim}, 1, 0.5F));
  }

  std::string group_query(const std::string& q, const std::string& k, const std::string& v,
                          std::int64_t layer) {
    const auto number = std::to_string(layer);
    const std::vector<std::int64_t> dims = {-1, m_.kv_heads, -1, m_.head_dim};
    b_.input("past_key." + number, m_.cache_type, dims);
    b_.input("past_value." + number, m_.cache_type, dims);
    const std::string rotary[] = {m_.has_outer_rotary ? "" : "cos",
                                  m_.has_outer_rotary ? "" : "sin"};
    std::vector<std::string> inputs = {q,
                                       k,
                                       v,
                                       "past_key." + number,
                                       "past_value." + number,
                                       "seqlens_k",
                                       "total_length",
                                       rotary[0],
                                       rotary[1]};
    add_inner_norms(inputs, 14);
    b_.node("GroupQueryAttention", inputs,
            {layer_ + "attended", "present_key." + number, "present_value." + number},
            attention_attributes(), kMicrosoft);
    b_.output("present_key." + number, m_.cache_type);
    b_.output("present_value." + number, m_.cache_type);
    return layer_ + "attended";
  }

  std::string paged(const std::string& q, const std::string& k, const std::string& v,
                    std::int64_t layer) {
    std::vector<std::string> inputs = {
        q, k, v, pages_, "sequence_starts", "past_lengths", "page_table", "cos", "sin"};
    if (m_.has_outer_rotary) inputs.resize(7);
    add_inner_norms(inputs, 9);
    auto attributes = attention_attributes();
    attributes["head_dim"] = m_.head_dim;
    attributes["layer"] = layer;
    attributes["layers"] = m_.layers;
    attributes["kv_bits"] = m_.kv_bits;
    const bool is_last = layer + 1 == m_.layers;
    pages_ = is_last ? "pages_out" : layer_ + "pages_out";
    b_.node("PagedGroupQueryAttention", inputs, {layer_ + "attended", pages_}, attributes,
            "onnxlocal");
    if (is_last) b_.output("pages_out", ElementType::kUint8);
    return layer_ + "attended";
  }

  std::string activated(const std::string& x) {
    const auto out = x + ".activated";
    if (m_.activation == "silu") {
      b_.node("Sigmoid", {x}, {x + ".sigmoid"});
      return b_.node("Mul", {x, x + ".sigmoid"}, {out});
    }
    if (m_.activation == "gelu") return b_.node("Gelu", {x}, {out});
    if (m_.activation == "gelu_tanh") {
      return b_.node("Gelu", {x}, {out}, {{"approximate", std::string("tanh")}});
    }
    if (m_.activation == "fast_gelu") return b_.node("FastGelu", {x}, {out}, {}, kMicrosoft);
    return b_.node("QuickGelu", {x}, {out}, {{"alpha", 1.702F}}, kMicrosoft);
  }

  std::string feed_forward(const std::string& x) {
    std::string gate;
    std::string up;
    if (m_.has_fused_gate_up) {
      product("gate_up", x, 2 * m_.ffn, m_.hidden);
      gate = layer_ + "gate";
      up = layer_ + "up";
      b_.node("Split", {layer_ + "gate_up"}, {gate, up},
              {{"axis", std::int64_t{-1}}, {"num_outputs", std::int64_t{2}}});
    } else {
      gate = product("gate", x, m_.ffn, m_.hidden);
      up = product("up", x, m_.ffn, m_.hidden);
    }
    const auto gated = b_.node("Mul", {activated(gate), up}, {layer_ + "gated"});
    return product("down", gated, m_.hidden, m_.ffn);
  }

  void logits(std::string x) {
    if (m_.takes_wanted_rows) {
      b_.input("logits_positions", ElementType::kInt64, {-1});
      x = b_.node("Gather", {x, "logits_positions"}, {"wanted"}, {{"axis", std::int64_t{1}}});
    }
    if (m_.takes_last_row) {
      b_.integers("last_row", {-1}, {});
      b_.integers("axis_1", {1}, {1});
      x = b_.node("Gather", {x, "last_row"}, {"picked"}, {{"axis", std::int64_t{1}}});
      x = b_.node("Unsqueeze", {x, "axis_1"}, {"wanted"});
    }
    const bool is_tied = m_.is_tied && !m_.has_float_embedding;
    std::vector<std::string> parts = {"output.quants", "output.scales"};
    if (!is_tied) parts = matrix("head", m_.vocabulary, m_.hidden, 8, false);
    const auto out = m_.logits_softcap == 0 ? "logits" : "raw_logits";
    b_.node("MatMulNBits", {x, parts[0], parts[1]}, {out},
            {{"N", m_.vocabulary},
             {"K", m_.hidden},
             {"bits", std::int64_t{8}},
             {"block_size", m_.block}},
            kMicrosoft);
    if (m_.logits_softcap != 0) {
      b_.floats("cap", {m_.logits_softcap}, {});
      b_.node("Div", {"raw_logits", "cap"}, {"divided"});
      b_.node("Tanh", {"divided"}, {"bounded"});
      b_.node("Mul", {"bounded", "cap"}, {"logits"});
    }
    b_.output("logits", m_.logits_type);
  }

  const TinyModel& m_;
  GraphBuilder& b_;
  std::string layer_, residual_, update_, pages_;
};

}  // namespace

ValueIndex GraphBuilder::value(const std::string& name) {
  if (name.empty()) return kNoValue;
  const auto [place, is_new] =
      indexes_.try_emplace(name, static_cast<ValueIndex>(graph_.values.size()));
  if (is_new) graph_.values.emplace_back().name = name;
  return place->second;
}

std::string GraphBuilder::input(const std::string& name, ElementType type,
                                std::vector<std::int64_t> dims) {
  const auto index = value(name);
  auto& made = graph_.values[static_cast<std::size_t>(index)];
  made.type = type;
  made.dims = std::move(dims);
  made.is_input = true;
  graph_.inputs.push_back(index);
  return name;
}

void GraphBuilder::output(const std::string& name, ElementType type) {
  const auto index = value(name);
  auto& made = graph_.values[static_cast<std::size_t>(index)];
  made.type = type;
  made.is_output = true;
  graph_.outputs.push_back(index);
}

std::string GraphBuilder::constant(const std::string& name, ElementType type,
                                   std::vector<std::int64_t> dims, std::vector<std::byte> bytes) {
  auto& made = graph_.values[static_cast<std::size_t>(value(name))];
  made.type = type;
  made.dims = dims;
  made.constant = Constant{.type = type,
                           .dims = std::move(dims),
                           .bytes = storage_.emplace_back(std::move(bytes)),
                           .place = {}};
  return name;
}

std::string GraphBuilder::floats(const std::string& name, const std::vector<float>& values,
                                 std::vector<std::int64_t> dims) {
  return constant(name, ElementType::kFloat32, std::move(dims), bytes_of(values));
}

std::string GraphBuilder::integers(const std::string& name, const std::vector<std::int64_t>& values,
                                   std::vector<std::int64_t> dims) {
  return constant(name, ElementType::kInt64, std::move(dims), bytes_of(values));
}

std::string GraphBuilder::bytes(const std::string& name, const std::vector<std::uint8_t>& values,
                                std::vector<std::int64_t> dims) {
  return constant(name, ElementType::kUint8, std::move(dims), bytes_of(values));
}

std::string GraphBuilder::random_floats(const std::string& name, std::vector<std::int64_t> dims,
                                        float center, float spread) {
  std::vector<float> values(*element_count(dims));
  std::uniform_real_distribution<float> distribution(center - spread, center + spread);
  for (auto& value : values) value = distribution(random_);
  return floats(name, values, std::move(dims));
}

std::string GraphBuilder::node(const std::string& op, const std::vector<std::string>& inputs,
                               const std::vector<std::string>& outputs, Attributes attributes,
                               const std::string& domain) {
  Node made{.op = op, .domain = domain, .inputs = {}, .outputs = {}, .attributes = attributes};
  for (const auto& name : inputs) made.inputs.push_back(value(name));
  for (const auto& name : outputs) made.outputs.push_back(value(name));
  graph_.nodes.push_back(std::move(made));
  return outputs.front();
}

Graph& GraphBuilder::graph() {
  connect(graph_);
  return graph_;
}

void TinyModel::build(GraphBuilder& builder) const {
  builder.random().seed(seed);
  Emitter(*this, builder).run();
}

}  // namespace onnxlocal::ep::testing
