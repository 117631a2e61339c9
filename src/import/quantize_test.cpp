#include "import/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "gguf_writer.h"
#include "import/dequantize.h"
#include "tiny_gguf.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;

/// The operators' own formula over what we packed.
std::vector<float> unpack(GgmlType type, std::span<const std::byte> row, std::size_t values) {
  const auto layout = weight_layout(type).value();
  std::vector<std::uint8_t> quants(layout.quant_bytes(values));
  std::vector<float> scales(values / kQuantBlockValues);
  const float middle = layout.bits == 8 ? 128.0F : 8.0F;
  std::vector<float> zero_points(scales.size(), middle);
  pack_quants(type, row, quants);
  pack_scales(type, row, scales);
  if (layout.has_zero_points) pack_zero_points(type, row, zero_points);
  std::vector<float> result;
  for (std::size_t i = 0; i < values; ++i) {
    const auto quant = layout.bits == 8 ? quants[i]
                       : i % 2 == 0     ? quants[i / 2] & 15U
                                        : quants[i / 2] >> 4U;
    const auto block = i / kQuantBlockValues;
    result.push_back((static_cast<float>(quant) - zero_points[block]) * scales[block]);
  }
  return result;
}

class QuantizedType : public testing::TestWithParam<GgmlType> {};

TEST_P(QuantizedType, KeepsItsValues) {
  constexpr std::size_t kValues = 32 * 50;
  test::detail::Random random(3);
  const auto values = random.values(kValues, 0.3F, 2.0F);
  const auto blocks = test::quantize(GetParam(), values);
  std::vector<float> expected(kValues);
  ASSERT_TRUE(dequantize(GetParam(), blocks, expected));
  const auto found = unpack(GetParam(), blocks, kValues);
  for (std::size_t i = 0; i < kValues; ++i) {
    // Exact where there are no minima; a minimum is divided by its scale and multiplied again.
    const float tolerance = GetParam() == GgmlType::kQ4_1 ? 1e-6F : 0.0F;
    ASSERT_NEAR(found[i], expected[i], tolerance) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedType,
                         testing::Values(GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(Quantize, ABlockOfOneValueKeepsIt) {
  // d = 0, m = 1.5 as half floats, and quants that must not count.
  std::array<std::byte, 20> block{};
  block.fill(std::byte{0xFF});
  const std::array<std::uint16_t, 2> halves = {0x0000, 0x3E00};
  std::memcpy(block.data(), halves.data(), sizeof(halves));
  EXPECT_THAT(unpack(GgmlType::kQ4_1, block, 32), testing::Each(1.5F));
}

TEST(Quantize, FloatsAreNotQuantized) {
  for (const auto type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBf16}) {
    const auto layout = weight_layout(type);
    ASSERT_TRUE(layout);
    EXPECT_FALSE(layout->is_quantized());
  }
}

TEST(Quantize, OtherTypesAreNamed) {
  const auto layout = weight_layout(GgmlType::kQ4K);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(layout.error().message, HasSubstr("Q4_K"));
  EXPECT_THAT(layout.error().hint, HasSubstr("Q4_1"));
}

}  // namespace
}  // namespace onnxlocal
