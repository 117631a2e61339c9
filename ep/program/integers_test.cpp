#include "program/integers.h"

#include <gtest/gtest.h>

namespace onnxlocal::ep {
namespace {

using Kind = IntegerStep::Kind;
using Numbers = std::vector<std::int64_t>;

/// Runs steps over one input; gives the last one's value.
class IntegerSteps : public ::testing::Test {
 protected:
  std::optional<std::string> run(std::vector<IntegerStep> steps) {
    Program program;
    program.integers = std::move(steps);
    const RunInput input{.type = type, .dims = dims, .data = data};
    return run_integers(program, {&input, 1}, values);
  }
  Numbers last() const {
    Numbers numbers;
    for (std::size_t i = 0; i < values.back().count(); ++i) numbers.push_back(values.back().at(i));
    return numbers;
  }
  Numbers last_dims() const { return {values.back().dims().begin(), values.back().dims().end()}; }

  Numbers wide = {1, 1, 1, 1, 1, 0};
  ElementType type = ElementType::kInt64;
  Numbers dims = {2, 3};
  const void* data = wide.data();
  std::vector<Integers> values;
};

TEST_F(IntegerSteps, SumOverTheLastAxis) {
  EXPECT_EQ(run({{.kind = Kind::kInput, .input = 0, .rank = 2}, {.kind = Kind::kSum, .a = 0}}),
            std::nullopt);
  EXPECT_EQ(last(), (Numbers{3, 2}));
  EXPECT_EQ(last_dims(), (Numbers{2}));
}

TEST_F(IntegerSteps, KeepTheSummedAxisWhereAsked) {
  run({{.kind = Kind::kInput, .input = 0, .rank = 2},
       {.kind = Kind::kSum, .a = 0, .keeps_axis = true}});
  EXPECT_EQ(last_dims(), (Numbers{2, 1}));
}

TEST_F(IntegerSteps, CombineWithAScalarOnEitherSide) {
  const IntegerStep input{.kind = Kind::kInput, .input = 0, .rank = 2};
  const IntegerStep ten{.kind = Kind::kConstant, .numbers = {10}, .dims = {}};
  run({input, ten, {.kind = Kind::kSubtract, .a = 1, .b = 0}});
  EXPECT_EQ(last(), (Numbers{9, 9, 9, 9, 9, 10}));
  run({input, ten, {.kind = Kind::kMultiply, .a = 0, .b = 1}});
  EXPECT_EQ(last(), (Numbers{10, 10, 10, 10, 10, 0}));
  EXPECT_EQ(last_dims(), (Numbers{2, 3}));
}

TEST_F(IntegerSteps, RefuseShapesThatDoNotGoTogether) {
  const IntegerStep two{.kind = Kind::kConstant, .numbers = {1, 2}, .dims = {2}};
  EXPECT_EQ(run({{.kind = Kind::kInput, .input = 0, .rank = 2},
                 two,
                 {.kind = Kind::kAdd, .a = 0, .b = 1}}),
            "integers of shapes [2, 3] and [2] do not go together");
}

TEST_F(IntegerSteps, GatherFromAShape) {
  const IntegerStep which{.kind = Kind::kConstant, .numbers = {-1}, .dims = {}};
  run({{.kind = Kind::kInput, .input = 0, .rank = 2},
       {.kind = Kind::kShape, .a = 0},
       which,
       {.kind = Kind::kGather, .a = 1, .b = 2}});
  EXPECT_EQ(last(), (Numbers{3}));
  EXPECT_EQ(last_dims(), Numbers{});
}

TEST_F(IntegerSteps, RefuseAnIndexOutOfRange) {
  const IntegerStep which{.kind = Kind::kConstant, .numbers = {2}, .dims = {}};
  EXPECT_EQ(run({{.kind = Kind::kInput, .input = 0, .rank = 2},
                 {.kind = Kind::kShape, .a = 0},
                 which,
                 {.kind = Kind::kGather, .a = 1, .b = 2}}),
            "index 2 of 2 integers is out of range");
}

TEST_F(IntegerSteps, RefuseAnInputOfAnotherRank) {
  EXPECT_EQ(run({{.kind = Kind::kInput, .input = 0, .rank = 1}}),
            "integers of shape [2, 3] have not 1 dimensions");
}

TEST_F(IntegerSteps, ReadNarrowIntegersWhereTheyLie) {
  const std::vector<std::int32_t> narrow = {7, -8};
  type = ElementType::kInt32;
  dims = {2};
  data = narrow.data();
  run({{.kind = Kind::kInput, .input = 0, .rank = 1},
       {.kind = Kind::kInsertAxis, .a = 0, .axis = 0}});
  EXPECT_EQ(last(), (Numbers{7, -8}));
  EXPECT_EQ(last_dims(), (Numbers{1, 2}));
  EXPECT_EQ(values.back().narrow(), narrow.data());
}

TEST_F(IntegerSteps, RemoveOnlyAxesOfOne) {
  EXPECT_EQ(run({{.kind = Kind::kInput, .input = 0, .rank = 2},
                 {.kind = Kind::kRemoveAxis, .a = 0, .axis = 0}}),
            "only an axis of 1 can be removed");
}

}  // namespace
}  // namespace onnxlocal::ep
