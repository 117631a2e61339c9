// Everything a run is given comes from outside: what does not fit is an error that says so, and the
// next run that fits gives what it always gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "program/tiny_batch.h"

namespace onnxlocal::ep::testing {
namespace {

using ::testing::HasSubstr;

struct Wrong {
  const char* name;
  std::function<void(Tensors&)> change;
  const char* reason;
  friend std::ostream& operator<<(std::ostream& out, const Wrong& wrong) {
    return out << wrong.name;
  }
};

Owned narrow(std::vector<std::int64_t> dims, const std::vector<std::int32_t>& values) {
  return Owned::of(ElementType::kInt32, std::move(dims), values);
}
Owned wide(std::vector<std::int64_t> dims, const std::vector<std::int64_t>& values) {
  return Owned::of(ElementType::kInt64, std::move(dims), values);
}

class PagedBounds : public ::testing::TestWithParam<Wrong> {};

/// Two sequences of 3 and 2 tokens over 5 pages of a model with 128 positions.
TEST_P(PagedBounds, AreErrorsThatNameThem) {
  TinyProgram program({.is_paged = true});
  PagedRun run(program, 5);
  const auto a = run.add_sequence({0, 2});
  const auto b = run.add_sequence({1, 3});
  const auto tokens = random_tokens(5, 20);
  const std::vector<PagedRun::Part> parts = {{a, std::span(tokens).first(3)},
                                             {b, std::span(tokens).last(2)}};
  run.prepare(parts);
  GetParam().change(run.tensors());
  const auto problem = program.run(run.tensors(), {{"pages_out", "pages"}});
  ASSERT_TRUE(problem.has_value());
  EXPECT_THAT(*problem, HasSubstr(GetParam().reason));
  PagedRun again(program, 5);
  const auto c = again.add_sequence({4});
  EXPECT_EQ(again.step({{c, tokens}}).size(), 5U * 70U);
}

INSTANTIATE_TEST_SUITE_P(
    All, PagedBounds,
    ::testing::Values(
        Wrong{"TokenTooLarge", [](Tensors& t) { t["input_ids"] = wide({1, 5}, {1, 2, 70, 3, 4}); },
              "token 70"},
        Wrong{"TokenBelowZero", [](Tensors& t) { t["input_ids"] = wide({1, 5}, {1, 2, -1, 3, 4}); },
              "token -1"},
        Wrong{"TokensOfAnotherType",
              [](Tensors& t) { t["input_ids"] = narrow({1, 5}, {1, 2, 3, 3, 4}); }, "another type"},
        Wrong{"TokensOfAnotherRank",
              [](Tensors& t) { t["input_ids"] = wide({5}, {1, 2, 3, 3, 4}); }, "dimensions"},
        Wrong{"StartsWithoutEnd", [](Tensors& t) { t["sequence_starts"] = narrow({3}, {0, 3, 4}); },
              "ends with 4"},
        Wrong{"StartsAtOne", [](Tensors& t) { t["sequence_starts"] = narrow({3}, {1, 3, 5}); },
              "begins with 1"},
        Wrong{"StartsBackwards", [](Tensors& t) { t["sequence_starts"] = narrow({3}, {0, 7, 5}); },
              "sequence_starts[1]"},
        Wrong{"TooFewStarts", [](Tensors& t) { t["sequence_starts"] = narrow({2}, {0, 5}); },
              "past_lengths [2]"},
        Wrong{"NoStarts", [](Tensors& t) { t["sequence_starts"] = narrow({0}, {}); },
              "sequence_starts [0]"},
        Wrong{"PastBelowZero", [](Tensors& t) { t["past_lengths"] = narrow({2}, {0, -1}); },
              "past_lengths[1] is -1"},
        Wrong{"PastBeyondThePages", [](Tensors& t) { t["past_lengths"] = narrow({2}, {0, 63}); },
              "need 3 pages"},
        Wrong{"HugePast", [](Tensors& t) { t["past_lengths"] = narrow({2}, {0, 2147483647}); },
              "past_lengths[1]"},
        Wrong{"PageTooLarge", [](Tensors& t) { t["page_table"] = narrow({2, 2}, {0, 2, 5, 3}); },
              "page_table[1, 0] is 5"},
        Wrong{"PageBelowZero", [](Tensors& t) { t["page_table"] = narrow({2, 2}, {-1, 2, 1, 3}); },
              "page_table[0, 0] is -1"},
        Wrong{"TableOfOneDimension", [](Tensors& t) { t["page_table"] = narrow({2}, {0, 1}); },
              "dimensions"},
        Wrong{"TableWithoutPages", [](Tensors& t) { t["page_table"] = narrow({2, 0}, {}); },
              "need 1 pages"},
        Wrong{"PagesTooSmall", [](Tensors& t) { t["pages"].dims = {10, t["pages"].dims[1] / 2}; },
              "2 layers need"},
        Wrong{"NoPagesAtAll",
              [](Tensors& t) {
                t["pages"].dims[0] = 0;
                t["pages"].bytes.clear();
              },
              "there are 0 pages"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(PagedBounds, PositionsEndWithTheRotaryTable) {
  TinyProgram program({.is_paged = true});
  PagedRun run(program, 5);
  const auto sequence = run.add_sequence({0, 1, 2, 3, 4});
  const auto tokens = random_tokens(129, 21);
  run.prepare({{sequence, tokens}});
  const auto problem = program.run(run.tensors(), {{"pages_out", "pages"}});
  ASSERT_TRUE(problem.has_value());
  EXPECT_THAT(*problem, HasSubstr("position 128 is beyond the rotary table of 128 positions"));
}

TEST(PagedBounds, SequencesWithoutRowsAreAllowed) {
  TinyProgram program({.is_paged = true});
  PagedRun run(program, 2);
  const auto a = run.add_sequence({0});
  const auto b = run.add_sequence({1});
  const auto tokens = random_tokens(3, 22);
  const auto alone = run.step({{a, tokens}});
  EXPECT_EQ(run.step({{a, {}}, {b, tokens}, {a, {}}}), alone);
}

class CacheBounds : public ::testing::TestWithParam<Wrong> {};

/// Three tokens in caches of 8.
TEST_P(CacheBounds, AreErrorsThatNameThem) {
  TinyProgram program(TinyModel{});
  CacheRun run(program, 8);
  const auto tokens = random_tokens(3, 23);
  const auto first = run.step({tokens});
  auto tensors = run.tensors();
  GetParam().change(tensors);
  const auto problem = program.run(tensors);
  ASSERT_TRUE(problem.has_value());
  EXPECT_THAT(*problem, HasSubstr(GetParam().reason));
  EXPECT_EQ(CacheRun(program, 8).step({tokens}), first);
}

INSTANTIATE_TEST_SUITE_P(
    All, CacheBounds,
    ::testing::Values(
        Wrong{"MaskShorterThanRows", [](Tensors& t) { t["attention_mask"] = wide({1, 2}, {1, 1}); },
              "total_sequence_length is 2"},
        Wrong{"EmptyMask", [](Tensors& t) { t["attention_mask"] = wide({1, 4}, {0, 0, 0, 0}); },
              "seqlens_k[0] is -1"},
        Wrong{"MaskWithHoles", [](Tensors& t) { t["attention_mask"] = wide({1, 4}, {1, 1, 0, 0}); },
              "seqlens_k[0] is 1"},
        Wrong{"MaskOfLargeNumbers",
              [](Tensors& t) { t["attention_mask"] = wide({1, 4}, {1, 1, 1, 900}); },
              "seqlens_k[0] is 902"},
        Wrong{"MaskOfAnotherBatch",
              [](Tensors& t) { t["attention_mask"] = wide({2, 3}, {1, 1, 1, 1, 1, 1}); },
              "seqlens_k [2]"},
        Wrong{"CachesOfAnotherBatch", [](Tensors& t) { t["past_key.0"].dims = {2, 2, 4, 16}; },
              "past_key.0"},
        Wrong{"CachesOfOtherHeads",
              [](Tensors& t) {
                t["past_key.1"].dims = {1, 4, 4, 16};
                t["past_value.1"].dims = {1, 4, 4, 16};
              },
              "past_key.1"},
        Wrong{"CachesOfThreeDimensions", [](Tensors& t) { t["past_key.0"].dims = {2, 8, 16}; },
              "past_key.0"},
        Wrong{"PastBeyondTheCache",
              [](Tensors& t) {
                t["attention_mask"] = wide({1, 20}, std::vector<std::int64_t>(20, 1));
              },
              "its cache 8"},
        Wrong{"NegativeDimension", [](Tensors& t) { t["input_ids"].dims = {1, -3}; },
              "has no memory"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace onnxlocal::ep::testing
