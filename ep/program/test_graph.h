#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace onnxlocal::ep::testing {

/// Builds graphs in code. Owns the bytes of their constants.
class GraphBuilder {
 public:
  using Attributes = std::map<std::string, Attribute, std::less<>>;
  explicit GraphBuilder(std::uint32_t seed = 1) : random_(seed) {}

  std::string input(const std::string& name, ElementType type, std::vector<std::int64_t> dims);
  void output(const std::string& name, ElementType type);
  std::string floats(const std::string& name, const std::vector<float>& values,
                     std::vector<std::int64_t> dims);
  std::string integers(const std::string& name, const std::vector<std::int64_t>& values,
                       std::vector<std::int64_t> dims);
  std::string bytes(const std::string& name, const std::vector<std::uint8_t>& values,
                    std::vector<std::int64_t> dims);
  /// Uniform in center +- spread.
  std::string random_floats(const std::string& name, std::vector<std::int64_t> dims, float center,
                            float spread);
  /// An empty name is an input or output that is left out. Returns the first output.
  std::string node(const std::string& op, const std::vector<std::string>& inputs,
                   const std::vector<std::string>& outputs, Attributes attributes = {},
                   const std::string& domain = "");
  std::mt19937& random() { return random_; }
  Graph& graph();

 private:
  ValueIndex value(const std::string& name);
  std::string constant(const std::string& name, ElementType type, std::vector<std::int64_t> dims,
                       std::vector<std::byte> bytes);
  Graph graph_;
  std::map<std::string, ValueIndex> indexes_;
  std::deque<std::vector<std::byte>> storage_;
  std::mt19937 random_;
};

inline constexpr const char* kMicrosoft = "com.microsoft";

/// A decoder with random weights, in the ways that exporters write them.
struct TinyModel {
  std::int64_t layers = 2, hidden = 64, heads = 4, kv_heads = 2, head_dim = 16, ffn = 96;
  std::int64_t vocabulary = 70, positions = 128, bits = 4, block = 32;
  enum class Zeros { kNone, kBytes, kFloats } zeros = Zeros::kBytes;
  bool is_paged = false;
  bool has_packed_qkv = false;     ///< One product for queries, keys and values.
  bool has_split_qkv = false;      ///< And a Split behind it.
  bool has_biases = false;         ///< Of queries, keys and values, by Add.
  bool has_output_bias = false;    ///< As MatMulNBits' own input.
  bool has_head_norms = false;     ///< Reshape, norm, Reshape before the rotation.
  bool has_inner_norms = false;    ///< The attention's own inputs.
  bool has_outer_rotary = false;   ///< RotaryEmbedding nodes with position_ids.
  bool has_fused_gate_up = false;  ///< One matrix and a Split.
  bool has_post_norms = false;     ///< Gemma 2 and 3.
  bool has_plain_adds = false;     ///< Add and SimplifiedLayerNormalization apart.
  bool has_layer_norms = false;    ///< Phi-2's kind.
  bool is_tied = true;
  bool has_float_embedding = false;
  bool takes_last_row = false;      ///< onnxruntime-genai's Gather and Unsqueeze before the logits.
  bool takes_wanted_rows = false;   ///< Rows `logits_positions` before the logits.
  std::string activation = "silu";  ///< silu, gelu, gelu_tanh, fast_gelu, quick_gelu
  float embedding_scale = 1, logits_softcap = 0, attention_softcap = 0;
  std::int64_t window = -1, kv_bits = 16;
  std::uint32_t seed = 1;
  ElementType cache_type = ElementType::kFloat32, logits_type = ElementType::kFloat32;
  bool has_outer_embedding = false;  ///< Input `inputs_embeds` instead of the float table.

  /// Inputs: input_ids, and attention_mask, past_key.0 .. (or pages, sequence_starts, past_lengths,
  /// page_table). Outputs: logits for all rows, present_key.0 .. (or pages_out).
  void build(GraphBuilder& builder) const;
};

}  // namespace onnxlocal::ep::testing
