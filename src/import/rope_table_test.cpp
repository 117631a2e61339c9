#include "import/rope_table.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace onnxlocal {
namespace {

TEST(RopeTable, FrequenciesFallFromOne) {
  const auto plain = rope_frequencies({.base = 10000.0}, 8);
  ASSERT_EQ(plain.radians_per_token.size(), 4U);
  EXPECT_DOUBLE_EQ(plain.radians_per_token[0], 1.0);
  EXPECT_NEAR(plain.radians_per_token[1], 0.1, 1e-12);
  EXPECT_NEAR(plain.radians_per_token[3], 0.001, 1e-12);
  EXPECT_DOUBLE_EQ(plain.magnitude, 1.0);
}

TEST(RopeTable, LinearScalingSlowsAllPairs) {
  const auto scaled = rope_frequencies(
      {.base = 10000.0, .scaling = RopeSettings::Scaling::kLinear, .factor = 4.0}, 8);
  EXPECT_DOUBLE_EQ(scaled.radians_per_token[0], 0.25);
  EXPECT_NEAR(scaled.radians_per_token[2], 0.0025, 1e-12);
}

TEST(RopeTable, PairFactorsDivide) {
  const auto scaled =
      rope_frequencies({.base = 10000.0, .pair_factors = {1.0F, 2.0F, 4.0F, 8.0F}}, 8);
  EXPECT_DOUBLE_EQ(scaled.radians_per_token[0], 1.0);
  EXPECT_NEAR(scaled.radians_per_token[3], 0.001 / 8, 1e-12);
}

TEST(RopeTable, YarnKeepsFastPairsAndInterpolatesSlowOnes) {
  const RopeSettings settings = {.base = 1e6,
                                 .scaling = RopeSettings::Scaling::kYarn,
                                 .factor = 4.0,
                                 .original_context_tokens = 32768};
  const auto plain = rope_frequencies({.base = 1e6}, 128);
  const auto yarn = rope_frequencies(settings, 128);
  EXPECT_DOUBLE_EQ(yarn.radians_per_token.front(), plain.radians_per_token.front());
  EXPECT_NEAR(yarn.radians_per_token.back(), plain.radians_per_token.back() / 4, 1e-15);
  for (std::size_t pair = 1; pair < 64; ++pair) {
    EXPECT_LT(yarn.radians_per_token[pair], yarn.radians_per_token[pair - 1]);
  }
  EXPECT_NEAR(yarn.magnitude, 1.0 + 0.1 * std::log(4.0), 1e-12);
}

TEST(RopeTable, RowsAreCosinesAndSinesOfThePosition) {
  const auto frequencies = rope_frequencies({.base = 10000.0}, 8);
  std::array<float, 4> cosines{};
  std::array<float, 4> sines{};
  rope_cosines(frequencies, 3, cosines);
  rope_sines(frequencies, 3, sines);
  EXPECT_FLOAT_EQ(cosines[0], std::cos(3.0F));
  EXPECT_FLOAT_EQ(sines[1], std::sin(0.3F));
}

}  // namespace
}  // namespace onnxlocal
