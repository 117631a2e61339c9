#include "import/context_choice.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "import/decoder_shape.h"
#include "model/limits.h"

namespace onnxlocal {
namespace {

using Scaling = RopeSettings::Scaling;

/// The default model's rotation: SmolLM2-135M.
DecoderShape small_model() {
  DecoderShape shape;
  shape.context_tokens = 8192;
  shape.head_dim = 64;
  shape.rope = {.base = 100000.0, .original_context_tokens = 8192};
  return shape;
}

RopeFrequencies frequencies_of(const DecoderShape& shape) {
  return rope_frequencies(shape.rope, shape.head_dim);
}

TEST(ContextChoice, ALongerWindowIsReachedByYarn) {
  auto shape = small_model();
  ASSERT_TRUE(choose_context(shape, {.tokens = 32768}));
  EXPECT_EQ(shape.context_tokens, 32768U);
  EXPECT_EQ(shape.rope.scaling, Scaling::kYarn);
  EXPECT_DOUBLE_EQ(shape.rope.factor, 4.0);
  EXPECT_EQ(shape.rope.original_context_tokens, 8192U);
  const auto found = frequencies_of(shape);
  // Computed apart from our code, by Peng 2023's formulas as Hugging Face's transformers writes
  // them: pairs up to 10 keep their frequency, those from 20 on have a quarter of it.
  constexpr std::array<std::pair<std::size_t, double>, 7> kExpected = {{
      {0, 1.0},
      {5, 0.16548170999431813},
      {10, 0.02738419634264361},
      {11, 0.017676315018476576},
      {15, 0.0028322397735005113},
      {19, 0.0003492475442044281},
      {31, 3.5825314255924068e-06},
  }};
  for (const auto& [pair, expected] : kExpected) {
    EXPECT_NEAR(found.radians_per_token[pair], expected, 1e-12 * expected) << pair;
  }
  EXPECT_NEAR(found.magnitude, 1.138629436111989, 1e-15);
}

TEST(ContextChoice, LinearScalingDividesAllFrequencies) {
  auto shape = small_model();
  const auto before = frequencies_of(shape);
  ASSERT_TRUE(choose_context(shape, {.tokens = 20480, .scaling = Scaling::kLinear}));
  const auto after = frequencies_of(shape);
  EXPECT_DOUBLE_EQ(after.magnitude, 1.0);
  for (std::size_t pair = 0; pair < after.radians_per_token.size(); ++pair) {
    EXPECT_DOUBLE_EQ(after.radians_per_token[pair], before.radians_per_token[pair] / 2.5);
  }
}

TEST(ContextChoice, NoScalingLeavesTheFrequencies) {
  auto shape = small_model();
  const auto before = frequencies_of(shape);
  ASSERT_TRUE(choose_context(shape, {.tokens = 32768, .scaling = Scaling::kNone}));
  EXPECT_EQ(shape.context_tokens, 32768U);
  EXPECT_EQ(frequencies_of(shape).radians_per_token, before.radians_per_token);
}

TEST(ContextChoice, AShorterWindowLeavesTheFrequencies) {
  auto shape = small_model();
  const auto before = frequencies_of(shape);
  ASSERT_TRUE(choose_context(shape, {.tokens = 2048}));
  EXPECT_EQ(shape.context_tokens, 2048U);
  EXPECT_EQ(frequencies_of(shape).radians_per_token, before.radians_per_token);
}

TEST(ContextChoice, WhatIsStretchedAlreadyIsStretchedFromTheTrainedWindow) {
  auto yarn = small_model();
  yarn.context_tokens = 32768;
  yarn.rope.scaling = Scaling::kYarn;
  yarn.rope.factor = 4.0;
  ASSERT_TRUE(choose_context(yarn, {.tokens = 65536}));
  EXPECT_DOUBLE_EQ(yarn.rope.factor, 8.0);
  EXPECT_EQ(yarn.rope.original_context_tokens, 8192U);

  // Files with linear scaling name no original window.
  auto linear = small_model();
  linear.context_tokens = 32768;
  linear.rope.scaling = Scaling::kLinear;
  linear.rope.factor = 4.0;
  linear.rope.original_context_tokens = 32768;
  ASSERT_TRUE(choose_context(linear, {.tokens = 65536}));
  EXPECT_EQ(linear.rope.scaling, Scaling::kLinear);
  EXPECT_DOUBLE_EQ(linear.rope.factor, 8.0);
}

TEST(ContextChoice, RefusesWindowsThatNoModelHas) {
  auto shape = small_model();
  const auto none = choose_context(shape, {.tokens = 0});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kInvalidRequest);
  EXPECT_FALSE(choose_context(shape, {.tokens = std::uint32_t{kContextTokensMax} + 1}));
  EXPECT_EQ(shape.context_tokens, 8192U);
}

TEST(ContextChoice, ScalingsHaveNames) {
  for (const auto scaling : {Scaling::kNone, Scaling::kLinear, Scaling::kYarn}) {
    EXPECT_EQ(parse_rope_scaling(to_string(scaling)).value(), scaling);
  }
  const auto unknown = parse_rope_scaling("longrope");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace onnxlocal
