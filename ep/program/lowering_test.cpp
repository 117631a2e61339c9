// Operators that no tiny decoder has, behind its logits: what they give is computed from those.
#include <gtest/gtest.h>

#include <functional>

#include "program/tiny_batch.h"

namespace onnxlocal::ep::testing {
namespace {

constexpr std::size_t kVocabulary = 70;

/// A decoder's logits [1, 4, 70], and the output `extra` that `add` makes of them.
struct Extra {
  explicit Extra(const std::function<void(GraphBuilder&)>& add,
                 ElementType type = ElementType::kFloat32) {
    TinyProgram program(TinyModel{}, [&](GraphBuilder& builder) {
      add(builder);
      builder.output("extra", type);
    });
    CacheRun run(program);
    logits = run.step({random_tokens(4, 80)});
    extra = run.tensors()["extra"];
  }
  std::vector<float> logits;
  Owned extra;
};

std::vector<float> map(std::vector<float> values, const std::function<float(float)>& function) {
  for (auto& value : values) value = function(value);
  return values;
}

TEST(Lowering, MultipliesByAVector) {
  std::vector<float> factors(kVocabulary);
  for (std::size_t i = 0; i < factors.size(); ++i) factors[i] = static_cast<float>(i) / 8;
  const Extra run([&](GraphBuilder& builder) {
    builder.floats("factors", factors, {70});
    builder.node("Mul", {"factors", "logits"}, {"extra"});
  });
  auto expected = run.logits;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= factors[i % kVocabulary];
  EXPECT_EQ(run.extra.floats(), expected);
}

TEST(Lowering, AddsAVector) {
  const Extra run([&](GraphBuilder& builder) {
    builder.floats("offsets", std::vector<float>(kVocabulary, 2), {70});
    builder.node("Add", {"logits", "offsets"}, {"extra"});
  });
  EXPECT_EQ(run.extra.floats(), map(run.logits, [](float x) { return x + 2; }));
}

TEST(Lowering, DividesByAConstant) {
  const Extra run([](GraphBuilder& builder) {
    builder.floats("four", {4}, {});
    builder.node("Div", {"logits", "four"}, {"extra"});
  });
  EXPECT_EQ(run.extra.floats(), map(run.logits, [](float x) { return x / 4; }));
}

TEST(Lowering, SlicesColumns) {
  const Extra run([](GraphBuilder& builder) {
    builder.integers("first", {10}, {1});
    builder.integers("last", {-40}, {1});
    builder.integers("axis", {-1}, {1});
    builder.node("Slice", {"logits", "first", "last", "axis"}, {"extra"});
  });
  EXPECT_EQ(run.extra.dims, (std::vector<std::int64_t>{1, 4, 20}));
  const auto got = run.extra.floats();
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], run.logits[i / 20 * kVocabulary + 10 + i % 20]);
  }
}

TEST(Lowering, SlicesTheLastRow) {
  const Extra run([](GraphBuilder& builder) {
    builder.integers("first", {-1}, {1});
    builder.integers("last", {std::numeric_limits<std::int64_t>::max()}, {1});
    builder.integers("axis", {1}, {1});
    builder.node("Slice", {"logits", "first", "last", "axis"}, {"extra"});
  });
  EXPECT_EQ(run.extra.dims, (std::vector<std::int64_t>{1, 1, 70}));
  EXPECT_EQ(run.extra.floats(), std::vector<float>(run.logits.end() - 70, run.logits.end()));
}

TEST(Lowering, SqueezesAndFlattensRows) {
  const Extra run([](GraphBuilder& builder) {
    builder.integers("axis", {0}, {1});
    builder.node("Squeeze", {"logits", "axis"}, {"squeezed"});
    builder.integers("shape", {-1, 70}, {2});
    builder.node("Reshape", {"squeezed", "shape"}, {"extra"});
  });
  EXPECT_EQ(run.extra.dims, (std::vector<std::int64_t>{4, 70}));
  EXPECT_EQ(run.extra.floats(), run.logits);
}

TEST(Lowering, GivesHalfPrecisionWhereTheGraphDoes) {
  const Extra run(
      [](GraphBuilder& builder) {
        builder.node("Cast", {"logits"}, {"half"}, {{"to", std::int64_t{10}}});
        builder.node("Identity", {"half"}, {"extra"});
      },
      ElementType::kFloat16);
  ASSERT_EQ(run.extra.bytes.size(), run.logits.size() * 2);
  for (std::size_t i = 0; i < run.logits.size(); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, run.extra.bytes.data() + 2 * i, sizeof half);
    EXPECT_EQ(half, to_f16(run.logits[i]));
  }
}

TEST(Lowering, TakesRowsThatAnotherModelEmbedded) {
  TinyModel model{.has_float_embedding = true};
  const auto tokens = random_tokens(6, 81);
  TinyProgram inner(model);
  const auto wanted = CacheRun(inner).step({tokens});
  const auto& values = inner.graph().values;
  const auto table = *read_floats(*std::ranges::find(values, "table", &Value::name)->constant);
  std::vector<float> rows;
  for (const auto token : tokens) {
    rows.insert(rows.end(), table.begin() + token * 64, table.begin() + token * 64 + 64);
  }
  model.has_outer_embedding = true;
  TinyProgram outer(model);
  CacheRun run(outer);
  run.tensors()["inputs_embeds"] = Owned::of(ElementType::kFloat32, {1, 6, 64}, rows);
  EXPECT_EQ(run.step({tokens}), wanted);
}

}  // namespace
}  // namespace onnxlocal::ep::testing
