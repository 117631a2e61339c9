// Tiny decoders with random weights, as exporters write them, against a plain interpreter of their
// graphs in double precision (reference.h).
#include <gtest/gtest.h>

#include "program/tiny_batch.h"
#include "program/tiny_models.h"

namespace onnxlocal::ep::testing {
namespace {

/// Keys and values are kept in bf16, and what then rounds to another 8-bit number adds to it: 0.02
/// to 0.03 in so small a model. What is structurally wrong is off by 0.1 and more.
constexpr double kTolerance = 0.04;

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

INSTANTIATE_TEST_SUITE_P(Exporters, Decoders, ::testing::ValuesIn(tiny_models()),
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

TEST(Program, GivesTheRowsThatAreAskedFor) {
  TinyModel model;
  const auto tokens = random_tokens(9, 17);
  TinyProgram all(model);
  const auto whole = CacheRun(all).step({tokens});
  model.takes_wanted_rows = true;
  TinyProgram program(model);
  for (const Tokens& wanted : {Tokens{-1}, Tokens{0, 3, 8}, Tokens{5, 5, -9}, Tokens{}}) {
    CacheRun run(program);
    run.tensors()["logits_positions"] =
        Owned::of(ElementType::kInt64, {static_cast<std::int64_t>(wanted.size())}, wanted);
    const auto got = run.step({tokens});
    std::vector<float> expected;
    for (const auto row : wanted) {
      const auto first = whole.begin() + (row < 0 ? row + 9 : row) * 70;
      expected.insert(expected.end(), first, first + 70);
    }
    EXPECT_EQ(got, expected);
  }
}

TEST(Program, SaysThatAWantedRowIsNotThere) {
  TinyProgram program({.takes_wanted_rows = true});
  CacheRun run(program);
  run.tensors()["logits_positions"] = Owned::of(ElementType::kInt64, {1}, Tokens{3});
  run.prepare({random_tokens(3, 18)}, {});
  EXPECT_EQ(program.run(run.tensors()), "row 3 of 3 rows is out of range");
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
