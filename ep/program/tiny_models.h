#pragma once

#include <ostream>
#include <vector>

#include "program/test_graph.h"

namespace onnxlocal::ep::testing {

struct Named {
  const char* name;
  TinyModel model;
  friend std::ostream& operator<<(std::ostream& out, const Named& named) {
    return out << named.name;
  }
};

/// One of each way that exporters write decoders.
inline std::vector<Named> tiny_models() {
  using Zeros = TinyModel::Zeros;
  return {
      {"Llama", {}},
      {"LlamaOfOurImporter", {.has_packed_qkv = true}},
      {"FloatZeroPoints", {.zeros = Zeros::kFloats, .has_packed_qkv = true}},
      {"NoZeroPoints", {.zeros = Zeros::kNone}},
      {"EightBits", {.bits = 8}},
      {"Blocks64", {.block = 64}},
      {"Qwen2", {.has_biases = true}},
      {"Qwen2Packed", {.has_packed_qkv = true, .has_biases = true}},
      {"Qwen3", {.has_head_norms = true}},
      {"Qwen3Packed", {.has_split_qkv = true, .has_head_norms = true}},
      {"NormsInsideAttention", {.has_inner_norms = true}},
      {"Mistral", {.window = 5}},
      {"Phi3", {.has_packed_qkv = true, .has_fused_gate_up = true}},
      {"Phi2",
       {.has_biases = true,
        .has_output_bias = true,
        .has_layer_norms = true,
        .activation = "fast_gelu"}},
      {"OuterRotary", {.has_outer_rotary = true}},
      {"Gemma",
       {.heads = 2,
        .kv_heads = 1,
        .head_dim = 32,
        .activation = "gelu_tanh",
        .embedding_scale = 8}},
      {"Gemma2",
       {.has_post_norms = true,
        .activation = "gelu_tanh",
        .embedding_scale = 8,
        .logits_softcap = 3,
        .attention_softcap = 5,
        .window = 6}},
      {"Gemma3",
       {.has_head_norms = true,
        .has_post_norms = true,
        .activation = "gelu_tanh",
        .embedding_scale = 8}},
      {"GeluByErf", {.activation = "gelu"}},
      {"QuickGelu", {.activation = "quick_gelu"}},
      {"AddsAndNormsApart", {.has_plain_adds = true}},
      {"FloatEmbedding", {.has_float_embedding = true}},
      {"OutputMatrixOfItsOwn", {.is_tied = false}},
      {"OneHeadEach", {.kv_heads = 4}},
  };
}

}  // namespace onnxlocal::ep::testing
