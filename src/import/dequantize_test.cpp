#include "import/dequantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "gguf_writer.h"
#include "import/half.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;

std::vector<float> round_trip(GgmlType type, const std::vector<float>& values) {
  std::vector<float> result(values.size());
  const auto done = dequantize(type, test::quantize(type, values), result);
  EXPECT_TRUE(done.has_value());
  return result;
}

/// Values of one block that spread from -1 to 1, none of them special.
std::vector<float> wave(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = std::sin(static_cast<float>(i) * 0.37F);
  return values;
}

TEST(Half, EveryFiniteValueSurvivesTheWayThereAndBack) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = half_to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value)))) << bits;
    } else {
      ASSERT_EQ(float_to_half(value), half) << bits;
    }
  }
}

TEST(Half, HasTheValuesOfTheStandard) {
  EXPECT_EQ(half_to_float(0x3c00), 1.0F);
  EXPECT_EQ(half_to_float(0xc000), -2.0F);
  EXPECT_EQ(half_to_float(0x7bff), 65504.0F);
  EXPECT_EQ(half_to_float(0x0400), 0x1p-14F);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24F);
  EXPECT_EQ(half_to_float(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(float_to_half(1.0F + 0x1p-11F), 0x3c00);
  EXPECT_EQ(float_to_half(1.0F + 0x3p-11F), 0x3c02);
  EXPECT_EQ(float_to_half(std::nextafter(1.0F + 0x1p-11F, 2.0F)), 0x3c01);
  EXPECT_EQ(float_to_half(0x1p-25F), 0x0000);
  EXPECT_EQ(float_to_half(0x3p-25F), 0x0002);
  EXPECT_EQ(float_to_half(std::nextafter(0x1p-25F, 1.0F)), 0x0001);
  EXPECT_EQ(float_to_half(65519.0F), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_half(-1e30F), 0xfc00);
}

TEST(Bfloat16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(float_to_bfloat16(1.0F), 0x3f80);
  EXPECT_EQ(float_to_bfloat16(1.0F + 0x1p-8F), 0x3f80);
  EXPECT_EQ(float_to_bfloat16(1.0F + 0x3p-8F), 0x3f82);
  EXPECT_EQ(bfloat16_to_float(0xc040), -3.0F);
  EXPECT_TRUE(std::isnan(
      bfloat16_to_float(float_to_bfloat16(std::bit_cast<float>(std::uint32_t{0x7f80'0001})))));
}

TEST(Dequantize, KeepsFloatsOfEachWidth) {
  const std::vector<float> values = {0.0F, 1.0F, -2.5F, 0.125F};
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBf16}) {
    EXPECT_EQ(round_trip(type, values), values) << to_string(type);
  }
}

TEST(Dequantize, ReadsABlockOfEachTypeAsGgmlLaysItOut) {
  // Scale 0.5 (half 0x3800), minimum -1 (half 0xbc00); byte j holds value j low and j + 16 high.
  std::vector<std::byte> q4_1(20, std::byte{0});
  q4_1[1] = std::byte{0x38};
  q4_1[3] = std::byte{0xbc};
  q4_1[4] = std::byte{0xf3};
  std::vector<float> values(32);
  ASSERT_TRUE(dequantize(GgmlType::kQ4_1, q4_1, values).has_value());
  EXPECT_EQ(values[0], 3 * 0.5F - 1);
  EXPECT_EQ(values[16], 15 * 0.5F - 1);
  EXPECT_EQ(values[1], -1.0F);

  std::vector<std::byte> q4_0(18, std::byte{0x88});
  q4_0[0] = std::byte{0};
  q4_0[1] = std::byte{0x38};
  q4_0[2] = std::byte{0xf3};
  ASSERT_TRUE(dequantize(GgmlType::kQ4_0, q4_0, values).has_value());
  EXPECT_EQ(values[0], (3 - 8) * 0.5F);
  EXPECT_EQ(values[16], (15 - 8) * 0.5F);
  EXPECT_EQ(values[1], 0.0F);

  std::vector<std::byte> q8_0(34, std::byte{0});
  q8_0[1] = std::byte{0x38};
  q8_0[2] = std::byte{0x80};
  q8_0[33] = std::byte{0x7f};
  ASSERT_TRUE(dequantize(GgmlType::kQ8_0, q8_0, values).has_value());
  EXPECT_EQ(values[0], -64.0F);
  EXPECT_EQ(values[31], 63.5F);
}

TEST(Dequantize, StaysWithinHalfAStepOfWhatWasQuantized) {
  const auto values = wave(96);
  // A step is the block's range by the number of levels; a scale in half precision adds up
  // to 2^-11 of the value.
  const std::pair<GgmlType, float> steps[] = {
      {GgmlType::kQ8_0, 1.0F / 127}, {GgmlType::kQ4_0, 1.0F / 8}, {GgmlType::kQ4_1, 2.0F / 15}};
  for (const auto& [type, step] : steps) {
    const auto read = round_trip(type, values);
    // Q4_0 clips the side that its sign bit does not reach by up to a whole step.
    const float limit = (type == GgmlType::kQ4_0 ? 1.0F : 0.5F) * step + 0x1p-10F;
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(read[i], values[i], limit) << to_string(type) << " " << i;
    }
  }
}

TEST(Dequantize, TakesNoPartBlocksAndNoOtherTypes) {
  std::vector<float> values(32);
  const std::vector<std::byte> bytes(20);
  EXPECT_EQ(dequantize(GgmlType::kQ4_0, bytes, values).error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(dequantize(GgmlType::kQ4_1, bytes, std::span(values).first(16)).error().code,
            ErrorCode::kInvalidRequest);
  const auto other = dequantize(GgmlType::kQ4K, bytes, values);
  EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(other.error().message, HasSubstr("Q4_K"));
}

}  // namespace
}  // namespace onnxlocal
