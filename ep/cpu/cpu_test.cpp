#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "cpu/instruction_set.h"
#include "cpu/number_formats.h"

namespace onnxlocal::ep {
namespace {

TEST(InstructionSet, NamesRoundTrip) {
  for (const InstructionSet set : available_instruction_sets()) {
    EXPECT_EQ(parse_instruction_set(to_string(set)), set);
  }
}

TEST(InstructionSet, TheFastestIsUsedWhereNoneIsNamed) {
  EXPECT_EQ(choose_instruction_set("").set, available_instruction_sets().back());
}

TEST(InstructionSet, ANamedOneIsUsed) {
  const InstructionSetChoice choice = choose_instruction_set("portable");
  EXPECT_EQ(choice.set, InstructionSet::kPortable);
  EXPECT_EQ(choice.problem, "");
}

TEST(InstructionSet, AnUnknownOneIsNamedWithWhatThereIs) {
  const InstructionSetChoice choice = choose_instruction_set("mmx");
  EXPECT_NE(choice.problem.find("\"mmx\" is not known"), std::string::npos) << choice.problem;
  EXPECT_NE(choice.problem.find("portable"), std::string::npos) << choice.problem;
}

TEST(NumberFormats, EveryHalfRoundTrips) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = from_f16(half);
    if (std::isnan(value)) continue;
    ASSERT_EQ(to_f16(value), half) << bits;
  }
}

TEST(NumberFormats, HalvesRoundToNearestEvenAndOverflowToInfinity) {
  EXPECT_EQ(to_f16(1.0F + 0x1p-11F), to_f16(1.0F));
  EXPECT_EQ(to_f16(1.0F + 0x1.8p-10F), to_f16(1.0F + 0x1p-9F));
  EXPECT_EQ(to_f16(65519.0F), 0x7bffU);
  EXPECT_EQ(to_f16(65520.0F), 0x7c00U);
  EXPECT_EQ(to_f16(0x1p-25F), 0U);
}

TEST(NumberFormats, Bfloat16RoundsToNearestEvenAndKeepsInfinity) {
  EXPECT_EQ(from_bf16(to_bf16(1.0F + 0x1p-8F)), 1.0F);
  EXPECT_EQ(from_bf16(to_bf16(1.0F + 0x1.8p-7F)), 1.0F + 0x1p-6F);
  EXPECT_EQ(from_bf16(to_bf16(std::numeric_limits<float>::infinity())),
            std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::denorm_min()), 0U);
}

}  // namespace
}  // namespace onnxlocal::ep
