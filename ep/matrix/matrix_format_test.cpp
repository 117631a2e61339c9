#include "matrix/matrix_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "matrix/matrix_product.h"
#include "matrix/test_matrix.h"

namespace onnxlocal::ep {
namespace {

using testing::HasSubstr;
using testing::Optional;

MatrixFormat format_of(const MatrixSpec& spec) {
  BackwardsParallel parallel(1);
  return choose_format(TestMatrix(spec).source, parallel);
}

TEST(CheckSource, RefusesWhatDoesNotFit) {
  MatrixSpec spec;
  spec.columns = 100;
  spec.zeros = TestZeros::kInteger;
  const TestMatrix matrix(spec);
  EXPECT_EQ(check_source(matrix.source), std::nullopt);
  const auto with = [&](auto change) {
    MatrixSource source = matrix.source;
    change(source);
    return check_source(source);
  };
  EXPECT_THAT(with([](MatrixSource& s) { s.bits = 2; }), Optional(HasSubstr("bits")));
  EXPECT_THAT(with([](MatrixSource& s) { s.block = 16; }), Optional(HasSubstr("blocks of 16")));
  EXPECT_THAT(with([](MatrixSource& s) { s.rows = 0; }), Optional(HasSubstr("empty")));
  EXPECT_THAT(with([](MatrixSource& s) { s.quants = s.quants.first(7); }),
              Optional(HasSubstr("quants has 7 bytes")));
  EXPECT_THAT(with([](MatrixSource& s) { s.scales = s.scales.first(3); }),
              Optional(HasSubstr("scales")));
  EXPECT_THAT(with([](MatrixSource& s) { s.integer_zeros = s.integer_zeros.first(1); }),
              Optional(HasSubstr("zero points")));
  EXPECT_THAT(with([](MatrixSource& s) { s.float_zeros = s.scales.first(2); }),
              Optional(HasSubstr("float zero points")));
  EXPECT_THAT(with([](MatrixSource& s) { s.float_zeros = s.scales; }), Optional(HasSubstr("both")));
}

TEST(ChooseFormat, KeepsHalvesWhereEveryScaleIsOne) {
  MatrixSpec spec;
  EXPECT_TRUE(format_of(spec).has_half_scales);
  spec.scales_type = MatrixSource::Number::kFloat32;
  EXPECT_FALSE(format_of(spec).has_half_scales);
  spec.scale = [](float number) { return from_f16(to_f16(number)); };
  EXPECT_TRUE(format_of(spec).has_half_scales);
  spec.scale = [](float) { return 1e6F; };
  EXPECT_FALSE(format_of(spec).has_half_scales);
  spec.scales_type = MatrixSource::Number::kBfloat16;
  spec.scale = [](float) { return 0x1p-30F; };
  EXPECT_FALSE(format_of(spec).has_half_scales);
}

TEST(ChooseFormat, ZeroPointsInTheMiddleAreNone) {
  MatrixSpec spec;
  spec.zeros = TestZeros::kInteger;
  EXPECT_EQ(format_of(spec).zeros, ZeroPoints::kInteger);
  const TestMatrix matrix(spec);
  MatrixSource source = matrix.source;
  const std::vector<std::byte> middle(source.integer_zeros.size(), std::byte{0x88});
  source.integer_zeros = middle;
  BackwardsParallel parallel(1);
  EXPECT_EQ(choose_format(source, parallel).zeros, ZeroPoints::kSymmetric);
}

/// Q4_1 as an import writes it: halves d and m become the scale d and the zero point -m / d.
TEST(ChooseFormat, Q41WeightsComeBackExactly) {
  std::mt19937 random(5);
  std::normal_distribution<float> number(0, 0.05F);
  MatrixSpec spec;
  spec.rows = 64;
  spec.columns = 320;
  spec.zeros = TestZeros::kFloat;
  spec.scales_type = MatrixSource::Number::kFloat32;
  const TestMatrix matrix(spec);
  std::vector<float> scales;
  std::vector<float> minima;
  std::vector<float> zeros;
  for (std::size_t i = 0; i < 640; ++i) {
    scales.push_back(from_f16(to_f16(std::abs(number(random)) + 1e-3F)));
    minima.push_back(from_f16(to_f16(number(random))));
    zeros.push_back(-minima.back() / scales.back());
  }
  MatrixSource source = matrix.source;
  source.scales = std::as_bytes(std::span(scales));
  source.float_zeros = std::as_bytes(std::span(zeros));
  BackwardsParallel parallel(1);
  const MatrixFormat format = choose_format(source, parallel);
  EXPECT_EQ(format.zeros, ZeroPoints::kMinimum);
  EXPECT_TRUE(format.has_half_scales);
  const AlignedBytes packed(format.packed_bytes());
  pack_matrix(source, format, packed.span(), parallel);
  std::vector<float> row(320);
  for (std::size_t n = 0; n < 64; ++n) {
    matrix_kernels(InstructionSet::kPortable)
        .dequantize_row({.format = format, .packed = packed.span()}, n, row.data());
    for (std::size_t k = 0; k < 320; ++k) {
      const auto pair = static_cast<unsigned>(source.quants[n * 160 + k / 2]);
      const auto quant = static_cast<float>(k % 2 == 0 ? pair % 16 : pair / 16);
      const std::size_t block = n * 10 + k / 32;
      ASSERT_EQ(row[k], scales[block] * quant + minima[block]);
    }
  }
}

TEST(PackMatrix, BytesDoNotDependOnThreads) {
  MatrixSpec spec;
  spec.rows = 300;
  spec.columns = 96;
  spec.zeros = TestZeros::kInteger;
  const TestMatrix matrix(spec);
  BackwardsParallel parallel(1);
  const MatrixFormat format = choose_format(matrix.source, parallel);
  const AlignedBytes first(format.packed_bytes());
  const AlignedBytes second(format.packed_bytes());
  pack_matrix(matrix.source, format, first.span(), parallel);
  std::memset(second.span().data(), 0, second.span().size());
  pack_matrix(matrix.source, format, second.span(), parallel);
  EXPECT_EQ(std::memcmp(first.span().data(), second.span().data(), first.span().size()), 0);
}

TEST(PackMatrix, LaysOutQuadsOfColumns) {
  MatrixSpec spec;
  spec.rows = 17;
  spec.columns = 64;
  const TestMatrix matrix(spec);
  BackwardsParallel parallel(1);
  const MatrixFormat format = choose_format(matrix.source, parallel);
  EXPECT_EQ(format.group_bytes(), 2U * 256 + 64);
  const AlignedBytes packed(format.packed_bytes());
  pack_matrix(matrix.source, format, packed.span(), parallel);
  // Row 16 is lane 0 of the second group; column 32 + 4 * 2 + 3 in the low nibble, 16 later high.
  const auto byte = static_cast<unsigned>(packed.span()[format.group_bytes() + 256 + 64 * 2 + 3]);
  const std::byte* row = matrix.source.quants.data() + 16 * 32 + 16;
  EXPECT_EQ(byte % 16, static_cast<unsigned>(row[5]) / 16);
  EXPECT_EQ(byte / 16, static_cast<unsigned>(row[13]) / 16);
}

}  // namespace
}  // namespace onnxlocal::ep
