// Tiny decoders with random weights, as exporters write them, against a plain interpreter of their
// graphs in double precision (reference.h).
#include <gtest/gtest.h>

#include <ostream>

#include "program/tiny_batch.h"

namespace onnxlocal::ep::testing {
namespace {

/// Keys and values are kept in bf16, and what then rounds to another 8-bit number adds to it: 0.02
/// to 0.03 in so small a model. What is structurally wrong is off by 0.1 and more.
constexpr double kTolerance = 0.04;

struct Named {
  const char* name;
  TinyModel model;
  friend std::ostream& operator<<(std::ostream& out, const Named& named) {
    return out << named.name;
  }
};

std::vector<Named> models() {
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

class Decoders : public ::testing::TestWithParam<Named> {};

TEST_P(Decoders, ComputeTheReferencesLogitsOverGrowingCaches) {
  const auto& model = GetParam().model;
  const auto tokens = random_tokens(21, 7);
  const auto wanted = reference_logits(model, tokens);
  TinyProgram program(model);
  CacheRun run(program);
  std::vector<float> got;
  for (const std::size_t rows : {11U, 1U, 1U, 8U}) {
    const auto logits = run.step({std::span(tokens).subspan(run.past(), rows)});
    got.insert(got.end(), logits.begin(), logits.end());
  }
  EXPECT_LT(distance(got, wanted), kTolerance);
}

TEST_P(Decoders, ComputeTheReferencesLogitsOverPages) {
  auto model = GetParam().model;
  if (model.has_outer_rotary) GTEST_SKIP() << "positions come from the lengths";
  model.is_paged = true;
  const auto tokens = random_tokens(75, 8);
  const auto wanted = reference_logits(model, tokens);
  TinyProgram program(model);
  PagedRun run(program, 4);
  const auto sequence = run.add_sequence({2, 0, 3});
  std::vector<float> got;
  for (const std::size_t rows : {40U, 1U, 1U, 33U}) {
    const auto logits = run.step({{sequence, std::span(tokens).subspan(got.size() / 70, rows)}});
    got.insert(got.end(), logits.begin(), logits.end());
  }
  EXPECT_LT(distance(got, wanted), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Exporters, Decoders, ::testing::ValuesIn(models()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Program, WritesCachesInTheSharedMemoryOfInputAndOutput) {
  const TinyModel model;
  const auto tokens = random_tokens(12, 9);
  TinyProgram program(model);
  CacheRun shared(program, 64);
  CacheRun growing(program);
  for (const std::size_t rows : {9U, 1U, 2U}) {
    const auto step = std::span(tokens).subspan(shared.past(), rows);
    EXPECT_EQ(shared.step({step}), growing.step({step}));
  }
}

TEST(Program, KeepsHalfPrecisionCaches) {
  const TinyModel model{.cache_type = ElementType::kFloat16};
  const auto tokens = random_tokens(12, 10);
  const auto wanted = reference_logits(model, tokens);
  TinyProgram program(model);
  CacheRun run(program);
  std::vector<float> got;
  for (const std::size_t rows : {9U, 1U, 2U}) {
    const auto logits = run.step({std::span(tokens).subspan(run.past(), rows)});
    got.insert(got.end(), logits.begin(), logits.end());
  }
  EXPECT_LT(distance(got, wanted), kTolerance);
}

TEST(Program, GivesTheLastRowAloneWhereTheGraphTakesIt) {
  TinyModel model;
  const auto tokens = random_tokens(9, 11);
  const auto all = reference_logits(model, tokens);
  model.takes_last_row = true;
  TinyProgram program(model);
  CacheRun run(program);
  const auto got = run.step({tokens});
  EXPECT_LT(distance(got, std::span(all).last(70)), kTolerance);
}

TEST(Program, RunsSequencesPaddedAtTheirRight) {
  const TinyModel model;
  const auto a = random_tokens(7, 12);
  auto b = random_tokens(4, 13);
  const auto wanted_a = reference_logits(model, a);
  const auto wanted_b = reference_logits(model, b);
  b.resize(a.size());
  TinyProgram program(model);
  CacheRun run(program);
  const auto logits = run.step({a, b}, {7, 4});
  const std::span got(logits);
  EXPECT_LT(distance(got.first(7 * 70), wanted_a), kTolerance);
  EXPECT_LT(distance(got.subspan(7 * 70, 4 * 70), wanted_b), kTolerance);
}

TEST(Program, RunsChunksOfSeveralSequencesOverTheirCaches) {
  const TinyModel model;
  const auto a = random_tokens(10, 14);
  const auto b = random_tokens(10, 15);
  const auto wanted_b = reference_logits(model, b);
  TinyProgram program(model);
  CacheRun run(program);
  run.step({std::span(a).first(6), std::span(b).first(6)});
  const auto logits = run.step({std::span(a).last(4), std::span(b).last(4)});
  EXPECT_LT(distance(std::span(logits).last(4 * 70), std::span(wanted_b).last(4 * 70)), kTolerance);
}

}  // namespace
}  // namespace onnxlocal::ep::testing
