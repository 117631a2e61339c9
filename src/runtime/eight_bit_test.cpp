#include "runtime/eight_bit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

constexpr std::size_t kBlockSize = 32;

/// One block: 4-bit values, and what they become.
struct Block {
  std::vector<std::uint8_t> levels;
  float scale = 0;
  float zero_point = 0;

  std::vector<float> exact() const {
    std::vector<float> weights;
    for (const std::uint8_t q : levels)
      weights.push_back(scale * (static_cast<float>(q) - zero_point));
    return weights;
  }
  std::vector<float> widened() const {
    std::vector<std::uint8_t> packed(levels.size() / 2);
    for (std::size_t i = 0; i < packed.size(); ++i) {
      packed[i] = static_cast<std::uint8_t>(levels[2 * i] | levels[2 * i + 1] << 4U);
    }
    std::vector<std::uint8_t> values(levels.size());
    std::vector<float> scales(1);
    std::vector<std::uint8_t> zeros(1);
    widen_blocks({packed, {&scale, 1}, {&zero_point, 1}}, levels.size(), {values, scales, zeros});
    std::vector<float> weights;
    for (const std::uint8_t v : values) {
      weights.push_back(scales[0] * (static_cast<float>(v) - static_cast<float>(zeros[0])));
    }
    return weights;
  }
  float worst_error() const {
    const auto a = exact();
    const auto b = widened();
    float worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
    return worst;
  }
};

Block random_block(std::mt19937& random, float zero_point) {
  Block block{
      .levels = std::vector<std::uint8_t>(kBlockSize), .scale = 0.02F, .zero_point = zero_point};
  for (std::uint8_t& level : block.levels) level = static_cast<std::uint8_t>(random() % 16);
  return block;
}

TEST(EightBit, KeepsWeightsToAHundredthOfAStep) {
  std::mt19937 random(3);
  double sum = 0;
  constexpr int kBlocks = 2000;
  for (int i = 0; i < kBlocks; ++i) {
    const float zero_point = std::uniform_real_distribution<float>(4, 11)(random);
    const Block block = random_block(random, zero_point);
    EXPECT_LE(block.worst_error(), 0.035F * block.scale) << zero_point;
    sum += block.worst_error() / block.scale;
  }
  EXPECT_LT(sum / kBlocks, 0.01);
}

TEST(EightBit, KeepsWholeZeroPointsExactly) {
  std::mt19937 random(4);
  for (int zero_point = 0; zero_point <= 15; ++zero_point) {
    EXPECT_LT(random_block(random, static_cast<float>(zero_point)).worst_error(), 1e-7F);
  }
}

TEST(EightBit, KeepsAConstantBlockExactly) {
  // How a block without a scale is written: every level 0, one step above the zero point.
  const Block block{
      .levels = std::vector<std::uint8_t>(kBlockSize, 0), .scale = 0.3F, .zero_point = -1};
  EXPECT_LT(block.worst_error(), 1e-7F);
}

TEST(EightBit, StaysNearWhereZeroIsFarOutside) {
  std::mt19937 random(5);
  for (const float zero_point : {-30.4F, 40.7F, -200.3F, 250.9F, -1000.0F, 5000.0F}) {
    const Block block = random_block(random, zero_point);
    const float range = block.scale * (std::abs(zero_point) + 16);
    EXPECT_LE(block.worst_error(), range / 255) << zero_point;
  }
}

TEST(EightBit, SurvivesNumbersThatAreNone) {
  std::mt19937 random(6);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {kInfinity, -kInfinity, kNan, 0.0F}) {
    Block block = random_block(random, value);
    EXPECT_EQ(block.widened().size(), kBlockSize);
    block = random_block(random, 1000);
    block.scale = value;
    EXPECT_EQ(block.widened().size(), kBlockSize);
  }
}

}  // namespace
}  // namespace onnxlocal
