// Method: every instruction set that the machine has, against sums in double precision over the
// same 8-bit activations; and against itself, bit for bit, for every number of rows and threads.

#include "matrix/matrix_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <ostream>

#include "matrix/row_tiles.h"
#include "matrix/test_matrix.h"
#include "threads/thread_pool.h"

namespace onnxlocal::ep {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_rows(std::size_t rows, std::size_t columns, unsigned seed = 7) {
  std::mt19937 random(seed);
  std::normal_distribution<float> number(0, 1);
  std::vector<float> x(rows * columns);
  for (float& value : x) value = number(random);
  return x;
}

/// One row as the kernels must see it: the values that 8 bits leave.
std::vector<double> rounded_row(std::span<const float> x) {
  std::vector<double> rounded(x.size());
  for (std::size_t begin = 0; begin < x.size(); begin += 32) {
    const std::size_t end = std::min(begin + 32, x.size());
    float largest = 0;
    for (std::size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
    if (largest < 0x1p-119F) continue;
    const float scale = largest / 127.0F;
    const float inverse = 127.0F / largest;
    for (std::size_t i = begin; i < end; ++i) {
      rounded[i] = double{scale} * std::nearbyint(x[i] * inverse);
    }
  }
  return rounded;
}

struct Packed {
  explicit Packed(const TestMatrix& matrix)
      : format(choose_format(matrix.source, parallel)), bytes(format.packed_bytes()) {
    pack_matrix(matrix.source, format, bytes.span(), parallel);
  }
  PackedMatrix view() const { return {.format = format, .packed = bytes.span()}; }

  BackwardsParallel parallel{1};
  MatrixFormat format;
  AlignedBytes bytes;
};

class MatrixProduct : public testing::TestWithParam<InstructionSet> {
 protected:
  const MatrixKernels& kernels() const { return matrix_kernels(GetParam()); }

  std::vector<float> multiply_rows(const PackedMatrix& matrix, std::span<const float> x,
                                   std::size_t rows, Parallel& parallel,
                                   const float* bias = nullptr) const {
    const std::size_t columns = matrix.format.columns;
    const AlignedBytes memory(quantized_rows_bytes(rows, columns));
    const QuantizedRows quantized = quantized_rows_over(memory.span(), rows, columns);
    quantize_rows(kernels(), parallel, ConstRows(x.data(), columns), quantized);
    std::vector<float> out(rows * matrix.format.rows, kNan);
    ProductOutput output;
    output.out = Rows{.data = out.data(), .stride = matrix.format.rows};
    output.bias = bias;
    multiply(kernels(), parallel, matrix, quantized, output);
    return out;
  }

  /// Compares with the double-precision reference.
  void expect_exact(const MatrixSpec& spec, std::span<const float> x, std::size_t rows) const {
    const TestMatrix matrix(spec);
    const Packed packed(matrix);
    BackwardsParallel parallel(2);
    const std::vector<float> out = multiply_rows(packed.view(), x, rows, parallel);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::vector<double> values = rounded_row(x.subspan(row * spec.columns, spec.columns));
      for (std::size_t n = 0; n < spec.rows; ++n) {
        double sum = 0;
        double magnitude = 0;
        for (std::size_t k = 0; k < spec.columns; ++k) {
          sum += values[k] * matrix.weights[n * spec.columns + k];
          magnitude += std::abs(values[k]) * matrix.magnitudes[n * spec.columns + k];
        }
        // Float sums of some hundred blocks; minima may be off by 2^-20 where they were halves.
        ASSERT_NEAR(out[row * spec.rows + n], sum, 4e-6 * magnitude + 1e-36)
            << "row " << row << " column " << n << " of " << describe(spec);
      }
    }
  }

  static std::string describe(const MatrixSpec& spec) {
    return std::to_string(spec.rows) + "x" + std::to_string(spec.columns) + " bits " +
           std::to_string(spec.bits) + " block " + std::to_string(spec.block) + " zeros " +
           std::to_string(static_cast<int>(spec.zeros)) + " numbers " +
           std::to_string(static_cast<int>(spec.scales_type));
  }

  static std::vector<MatrixSpec> all_formats(std::uint32_t rows, std::uint32_t columns) {
    std::vector<MatrixSpec> specs;
    for (const int bits : {4, 8}) {
      for (const unsigned block : {32U, 64U, 128U, 256U}) {
        for (const TestZeros zeros : {TestZeros::kNone, TestZeros::kInteger, TestZeros::kFloat}) {
          for (const auto type : {MatrixSource::Number::kFloat32, MatrixSource::Number::kFloat16}) {
            MatrixSpec spec;
            spec.rows = rows;
            spec.columns = columns;
            spec.bits = static_cast<std::uint8_t>(bits);
            spec.block = block;
            spec.zeros = zeros;
            spec.scales_type = type;
            spec.seed = rows + columns + block;
            specs.push_back(spec);
          }
        }
      }
    }
    return specs;
  }
};

TEST_P(MatrixProduct, IsTheSumInEveryFormat) {
  for (const MatrixSpec& spec : all_formats(50, 352)) {
    for (const std::size_t rows : {1U, 2U, 3U, 5U, 16U, 19U}) {
      expect_exact(spec, random_rows(rows, spec.columns), rows);
    }
  }
}

TEST_P(MatrixProduct, TakesOddShapes) {
  for (const std::uint32_t rows : {1U, 15U, 16U, 17U, 33U}) {
    for (const std::uint32_t columns : {1U, 31U, 32U, 33U, 100U, 257U, 1000U}) {
      for (const int bits : {4, 8}) {
        MatrixSpec spec;
        spec.rows = rows;
        spec.columns = columns;
        spec.bits = static_cast<std::uint8_t>(bits);
        spec.zeros = TestZeros::kInteger;
        expect_exact(spec, random_rows(4, columns), 4);
      }
    }
  }
}

TEST_P(MatrixProduct, TakesLargeAndSmallNumbers) {
  for (MatrixSpec spec : all_formats(20, 160)) {
    spec.scale = [](float number) { return 60000.0F * number; };
    expect_exact(spec, random_rows(3, spec.columns), 3);
    spec.scale = [](float number) { return 6e-8F * number; };  // Denormal halves.
    expect_exact(spec, random_rows(3, spec.columns), 3);
    spec.scale = [](float number) { return number > 0 ? 0.0F : -0.5F; };
    expect_exact(spec, random_rows(3, spec.columns), 3);
  }
}

TEST_P(MatrixProduct, TakesExtremeActivations) {
  const MatrixSpec spec = all_formats(20, 320)[4];
  std::vector<float> x = random_rows(6, spec.columns);
  for (std::size_t i = 0; i < spec.columns; ++i) {
    x[i] = 127;
    x[spec.columns + i] = i % 2 == 0 ? -1e30F : 1e30F;
    x[2 * spec.columns + i] *= 1e-34F;
    x[3 * spec.columns + i] = i / 32 % 2 == 0 ? 0.0F : -5.0F;
    x[4 * spec.columns + i] = i % 32 == 7 ? 1000.0F : 1e-3F;
    x[5 * spec.columns + i] = i % 3 == 0 ? 1e-40F : 0.0F;
  }
  expect_exact(spec, x, 6);
}

TEST_P(MatrixProduct, LargestQuantsAndActivationsDoNotOverflow) {
  for (const MatrixSpec& spec : all_formats(16, 256)) {
    TestMatrix matrix(spec);
    std::vector<std::byte> quants(matrix.source.quants.size(), std::byte{0xff});
    matrix.source.quants = quants;
    const Packed packed(matrix);
    BackwardsParallel parallel(1);
    std::vector<float> x(spec.columns, 127.0F);
    const std::vector<float> up = multiply_rows(packed.view(), x, 1, parallel);
    for (float& value : x) value = -127.0F;
    const std::vector<float> down = multiply_rows(packed.view(), x, 1, parallel);
    const double most = spec.bits == 4 ? 15 : 255;
    for (std::size_t n = 0; n < spec.rows; ++n) {
      double sum = 0;
      double magnitude = 0;
      for (std::size_t k = 0; k < spec.columns; ++k) {
        // weight(most) = weight(q) + scale * (most - q), by two known points of the line.
        std::vector<float> row(spec.columns);
        kernels().dequantize_row(packed.view(), n, row.data());
        sum += 127.0 * row[k];
        magnitude += 127.0 * (std::abs(row[k]) + most * 0.01);
      }
      EXPECT_NEAR(up[n], sum, 4e-6 * magnitude) << describe(spec);
      EXPECT_EQ(up[n], -down[n]) << describe(spec);
    }
  }
}

TEST_P(MatrixProduct, ValuesThatAreNotFiniteSpoilTheirRowAlone) {
  const Packed packed(TestMatrix(all_formats(20, 96)[0]));
  BackwardsParallel parallel(1);
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    std::vector<float> x = random_rows(3, 96);
    const std::vector<float> good = multiply_rows(packed.view(), x, 3, parallel);
    x[96 + 40] = bad;
    const std::vector<float> out = multiply_rows(packed.view(), x, 3, parallel);
    for (std::size_t n = 0; n < 20; ++n) {
      EXPECT_EQ(out[n], good[n]);
      EXPECT_TRUE(std::isnan(out[20 + n]));
      EXPECT_EQ(out[40 + n], good[40 + n]);
    }
  }
}

TEST_P(MatrixProduct, ZeroRowsGiveZeros) {
  for (const MatrixSpec& spec : all_formats(20, 96)) {
    const Packed packed((TestMatrix(spec)));
    BackwardsParallel parallel(1);
    const std::vector<float> x(2 * std::size_t{spec.columns}, 0.0F);
    for (const float value : multiply_rows(packed.view(), x, 2, parallel)) EXPECT_EQ(value, 0);
  }
}

TEST_P(MatrixProduct, BitsDoNotDependOnHowManyRowsAreMultiplied) {
  for (const MatrixSpec& spec : all_formats(40, 608)) {
    const Packed packed((TestMatrix(spec)));
    BackwardsParallel parallel(3);
    const std::vector<float> x = random_rows(100, spec.columns);
    const std::vector<float> all = multiply_rows(packed.view(), x, 100, parallel);
    const std::span<const float> rows(x);
    for (std::size_t count = 1; count <= 33; ++count) {
      const std::size_t first = (count * 17) % (100 - count);
      const std::vector<float> some =
          multiply_rows(packed.view(), rows.subspan(first * spec.columns), count, parallel);
      for (std::size_t i = 0; i < some.size(); ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(some[i]),
                  std::bit_cast<std::uint32_t>(all[first * spec.rows + i]))
            << count << " rows of " << describe(spec);
      }
    }
  }
}

TEST_P(MatrixProduct, BitsDoNotDependOnThreads) {
  MatrixSpec spec;
  spec.rows = 1000;
  spec.columns = 2048;
  spec.zeros = TestZeros::kFloat;
  const Packed packed((TestMatrix(spec)));
  for (const std::size_t rows : {1U, 7U, 200U}) {
    const std::vector<float> x = random_rows(rows, spec.columns);
    BackwardsParallel one(1);
    const std::vector<float> expected = multiply_rows(packed.view(), x, rows, one);
    for (const unsigned threads : {2U, 3U, 7U}) {
      ThreadPool pool(threads);
      EXPECT_EQ(multiply_rows(packed.view(), x, rows, pool), expected);
    }
  }
}

TEST_P(MatrixProduct, AddsTheBiasLast) {
  const MatrixSpec spec = all_formats(37, 64)[2];
  const Packed packed((TestMatrix(spec)));
  BackwardsParallel parallel(2);
  const std::vector<float> x = random_rows(18, spec.columns);
  const std::vector<float> bias = random_rows(1, spec.rows, 3);
  const std::vector<float> plain = multiply_rows(packed.view(), x, 18, parallel);
  const std::vector<float> with = multiply_rows(packed.view(), x, 18, parallel, bias.data());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(with[i], plain[i] + bias[i % spec.rows]);
  }
}

TEST_P(MatrixProduct, WritesNothingButItsResults) {
  const Packed packed((TestMatrix(all_formats(21, 64)[0])));
  const std::vector<float> x = random_rows(5, 64);
  const AlignedBytes memory(quantized_rows_bytes(5, 64));
  const QuantizedRows rows = quantized_rows_over(memory.span(), 5, 64);
  BackwardsParallel parallel(1);
  quantize_rows(kernels(), parallel, ConstRows(x.data(), 64), rows);
  std::vector<float> out(6 * 40, -1.0F);
  ProductOutput output;
  output.out = Rows{.data = out.data(), .stride = 40};
  multiply(kernels(), parallel, packed.view(), rows, output);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i] == -1.0F, i / 40 == 5 || i % 40 >= 21) << i;
  }
}

void gate_of(Activation, const float* gate, const float* up, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = std::abs(gate[i]) * up[i];
}

TEST_P(MatrixProduct, GatedIsTheActivationOfOneTimesTheOther) {
  RowKernels row_functions{};
  row_functions.gate = gate_of;
  for (const std::uint32_t rows : {16U, 200U, 1003U}) {
    MatrixSpec spec;
    spec.rows = rows;
    spec.columns = 320;
    const Packed gate((TestMatrix(spec)));
    spec.seed = 2;
    const Packed up((TestMatrix(spec)));
    for (const std::size_t count : {1U, 4U, 17U, 600U}) {
      const std::vector<float> x = random_rows(count, spec.columns);
      BackwardsParallel parallel(2);
      const std::vector<float> first = multiply_rows(gate.view(), x, count, parallel);
      const std::vector<float> second = multiply_rows(up.view(), x, count, parallel);
      const AlignedBytes memory(quantized_rows_bytes(count, spec.columns));
      const QuantizedRows quantized = quantized_rows_over(memory.span(), count, spec.columns);
      quantize_rows(kernels(), parallel, ConstRows(x.data(), spec.columns), quantized);
      std::vector<float> out(count * rows, kNan);
      ProductOutput output;
      output.out = Rows{.data = out.data(), .stride = rows};
      multiply_gated(kernels(), row_functions, parallel, gate.view(), up.view(), Activation::kSilu,
                     quantized, output);
      for (std::size_t i = 0; i < out.size(); ++i) {
        ASSERT_EQ(out[i], std::abs(first[i]) * second[i]) << i;
      }
    }
  }
}

TEST_P(MatrixProduct, DequantizedRowsAreTheWeights) {
  for (const MatrixSpec& spec : all_formats(35, 300)) {
    const TestMatrix matrix(spec);
    const Packed packed(matrix);
    std::vector<float> row(spec.columns + 1, -77.0F);
    for (const std::size_t n : {0U, 15U, 16U, 34U}) {
      kernels().dequantize_row(packed.view(), n, row.data());
      for (std::size_t k = 0; k < spec.columns; ++k) {
        const std::size_t at = n * spec.columns + k;
        ASSERT_NEAR(row[k], matrix.weights[at], 2e-6 * matrix.magnitudes[at]) << describe(spec);
      }
      EXPECT_EQ(row[spec.columns], -77.0F);
    }
  }
}

TEST_P(MatrixProduct, ActivationsAreTheSameForEverySet) {
  std::vector<float> x = random_rows(7, 333);
  x[40] = kNan;
  x[400] = kInfinity;
  for (std::size_t i = 666; i < 999; ++i) x[i] *= 1e-37F;
  const AlignedBytes expected(quantized_rows_bytes(7, 333));
  const AlignedBytes found(quantized_rows_bytes(7, 333));
  const QuantizedRows in_plain = quantized_rows_over(expected.span(), 7, 333);
  const QuantizedRows in_set = quantized_rows_over(found.span(), 7, 333);
  const MatrixKernels& plain = matrix_kernels(InstructionSet::kPortable);
  for (std::size_t row = 0; row < 7; ++row) {
    plain.quantize_row(x.data() + row * 333, row, in_plain);
    kernels().quantize_row(x.data() + row * 333, row, in_set);
  }
  EXPECT_TRUE(std::ranges::equal(expected.span(), found.span()));
}

TEST_P(MatrixProduct, SecondTermsAreTheSameForEverySet) {
  std::vector<float> x = random_rows(7, 333);
  x[40] = kNan;
  x[400] = kInfinity;
  for (std::size_t i = 666; i < 999; ++i) x[i] *= 1e-37F;
  const AlignedBytes expected(quantized_rows_bytes(7, 333, 2));
  const AlignedBytes found(quantized_rows_bytes(7, 333, 2));
  const QuantizedRows in_plain = quantized_rows_over(expected.span(), 7, 333, 2);
  const QuantizedRows in_set = quantized_rows_over(found.span(), 7, 333, 2);
  const MatrixKernels& plain = matrix_kernels(InstructionSet::kPortable);
  for (std::size_t row = 0; row < 7; ++row) {
    plain.quantize_row(x.data() + row * 333, row, in_plain);
    kernels().quantize_row(x.data() + row * 333, row, in_set);
  }
  EXPECT_TRUE(std::ranges::equal(expected.span(), found.span()));
}

TEST_P(MatrixProduct, TwoTermsAreAsGoodAsSixteenBits) {
  for (const MatrixSpec& spec : all_formats(37, 333)) {
    const TestMatrix matrix(spec);
    const Packed packed(matrix);
    for (const std::size_t rows : {1U, 5U, 23U}) {
      const std::vector<float> x = random_rows(rows, spec.columns);
      BackwardsParallel parallel(2);
      const AlignedBytes memory(quantized_rows_bytes(rows, spec.columns, 2));
      const QuantizedRows quantized = quantized_rows_over(memory.span(), rows, spec.columns, 2);
      quantize_rows(kernels(), parallel, ConstRows(x.data(), spec.columns), quantized);
      std::vector<float> out(rows * spec.rows, kNan);
      ProductOutput output;
      output.out = Rows{.data = out.data(), .stride = spec.rows};
      multiply(kernels(), parallel, packed.view(), quantized, output);
      for (std::size_t i = 0; i < out.size(); ++i) {
        const std::size_t row = i / spec.rows;
        const std::size_t n = i % spec.rows;
        double sum = 0;
        double magnitude = 0;
        for (std::size_t k = 0; k < spec.columns; ++k) {
          const double value = x[row * spec.columns + k];
          sum += value * matrix.weights[n * spec.columns + k];
          magnitude += std::abs(value) * matrix.magnitudes[n * spec.columns + k];
        }
        ASSERT_NEAR(out[i], sum, 2e-5 * magnitude) << describe(spec);
      }
    }
  }
}

TEST_P(MatrixProduct, TheSetThatWasAskedForIsUsed) { EXPECT_EQ(kernels().set(), GetParam()); }

TEST_P(MatrixProduct, RandomShapesAgreeWithPlainCode) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    const std::vector<MatrixSpec> specs = all_formats(1 + random() % 70, 1 + random() % 700);
    const MatrixSpec& spec = specs[random() % specs.size()];
    const std::size_t rows = 1 + random() % 20;
    expect_exact(spec, random_rows(rows, spec.columns, round), rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, MatrixProduct, testing::ValuesIn(available_instruction_sets()),
                         [](const auto& parameter) {
                           std::string name(to_string(parameter.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace onnxlocal::ep
