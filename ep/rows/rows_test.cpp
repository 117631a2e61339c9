// Each set that this processor has, against double precision.
#include "rows/rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "rows/exact_activation.h"

namespace onnxlocal::ep {
namespace {

std::vector<float> random_row(std::size_t n, std::uint32_t seed, float spread = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> row(n);
  for (float& value : row) value = normal(random);
  return row;
}

class RowKernelsTest : public testing::TestWithParam<InstructionSet> {
 protected:
  const RowKernels& kernels() const { return row_kernels(GetParam()); }
};

const std::size_t kSizes[] = {1, 7, 15, 16, 17, 63, 64, 65, 100, 576, 896, 1000};

TEST_P(RowKernelsTest, AreThoseOfTheSetOrANearSlowerOne) {
  EXPECT_LE(kernels().set, GetParam());
  EXPECT_EQ(row_kernels(InstructionSet::kPortable).set, InstructionSet::kPortable);
}

TEST_P(RowKernelsTest, NormsDivideByTheRootOfTheMeanSquare) {
  for (const std::size_t n : kSizes) {
    const auto x = random_row(n, 1);
    const auto weight = random_row(n, 2);
    std::vector<float> out(n + 1, 77.0F);
    kernels().rms_norm(x.data(), weight.data(), 1e-5F, n, out.data());
    double squares = 0;
    for (const float value : x) squares += static_cast<double>(value) * value;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    for (std::size_t i = 0; i < n; ++i) {
      const double expected = x[i] * factor * weight[i];
      ASSERT_NEAR(out[i], expected, 1e-6 * std::abs(expected)) << n << " " << i;
    }
    EXPECT_EQ(out[n], 77.0F) << "written past the row's end";
  }
}

TEST_P(RowKernelsTest, SumAndNormInOneAreTheTwoApart) {
  for (const std::size_t n : kSizes) {
    auto a = random_row(n, 1);
    const auto b = random_row(n, 2);
    const auto weight = random_row(n, 3);
    std::vector<float> sum(n);
    std::vector<float> norm(n);
    kernels().add(a.data(), b.data(), n, sum.data());
    kernels().rms_norm(sum.data(), weight.data(), 1e-6F, n, norm.data());
    std::vector<float> out(n);
    kernels().add_rms_norm(a.data(), b.data(), weight.data(), 1e-6F, n, a.data(), out.data());
    EXPECT_EQ(a, sum);
    EXPECT_EQ(out, norm);
  }
}

TEST_P(RowKernelsTest, SumsProductsAndScalesAreExact) {
  for (const std::size_t n : kSizes) {
    const auto a = random_row(n, 4);
    const auto b = random_row(n, 5);
    std::vector<float> sum(n);
    std::vector<float> product(n);
    std::vector<float> scaled(n);
    kernels().add(a.data(), b.data(), n, sum.data());
    kernels().multiply(a.data(), b.data(), n, product.data());
    kernels().scale(a.data(), 0.3F, n, scaled.data());
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(sum[i], a[i] + b[i]);
      ASSERT_EQ(product[i], a[i] * b[i]);
      ASSERT_EQ(scaled[i], a[i] * 0.3F);
    }
  }
}

TEST_P(RowKernelsTest, ActivationsKeepTheirRelativeError) {
  std::vector<float> x;
  for (float value = -84; value < 90; value += 0.00731F) x.push_back(value);
  for (float value = 1e-30F; value < 1; value *= 3) x.insert(x.end(), {value, -value});
  std::vector<float> out(x.size());
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf}) {
    kernels().activate(activation, x.data(), x.size(), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = exact(activation, x[i]);
      // What underflows in e^-|x| is zero.
      ASSERT_NEAR(out[i], expected, 2e-6 * std::abs(expected) + 1e-35)
          << x[i] << " activation " << static_cast<int>(activation);
    }
  }
}

TEST_P(RowKernelsTest, ActivationsOfExtremesAreTheirLimits) {
  const std::vector<float> x{1e30F,
                             -1e30F,
                             0.0F,
                             std::numeric_limits<float>::infinity(),
                             200.0F,
                             -200.0F,
                             std::numeric_limits<float>::quiet_NaN()};
  std::vector<float> out(x.size());
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf}) {
    kernels().activate(activation, x.data(), x.size(), out.data());
    EXPECT_EQ(out[0], 1e30F);
    EXPECT_EQ(out[1], 0.0F);
    EXPECT_EQ(out[2], 0.0F);
    EXPECT_EQ(out[3], x[3]);
    EXPECT_EQ(out[4], 200.0F);
    EXPECT_EQ(out[5], 0.0F);
    EXPECT_TRUE(std::isnan(out[6]));
  }
}

TEST_P(RowKernelsTest, AGateIsTheActivationTimesTheOther) {
  for (const std::size_t n : kSizes) {
    const auto gate = random_row(n, 6);
    const auto up = random_row(n, 7);
    std::vector<float> active(n);
    std::vector<float> out(n);
    kernels().activate(Activation::kSilu, gate.data(), n, active.data());
    kernels().gate(Activation::kSilu, gate.data(), up.data(), n, out.data());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], active[i] * up[i]);
  }
}

TEST_P(RowKernelsTest, SoftcapIsAScaledTangent) {
  std::vector<float> x;
  for (float value = -400; value < 400; value += 0.173F) x.push_back(value);
  std::vector<float> out(x.size());
  kernels().softcap(x.data(), 30.0F, x.size(), out.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = 30.0 * std::tanh(static_cast<double>(x[i]) / 30.0);
    ASSERT_NEAR(out[i], expected, 1e-6 * std::abs(expected)) << x[i];
  }
}

TEST_P(RowKernelsTest, RotationTurnsPairsAndLeavesTheRest) {
  for (const std::size_t half : {1, 5, 16, 32, 40, 48}) {
    for (const bool interleaved : {false, true}) {
      const std::size_t n = 2 * half + 3;
      const auto head = random_row(n, 8);
      std::vector<float> angles = random_row(half, 9);
      std::vector<float> cos(half);
      std::vector<float> sin(half);
      for (std::size_t i = 0; i < half; ++i) {
        cos[i] = std::cos(angles[i]);
        sin[i] = std::sin(angles[i]);
      }
      auto turned = head;
      kernels().rotate(turned.data(), cos.data(), sin.data(), half, interleaved);
      for (std::size_t i = 0; i < half; ++i) {
        const std::size_t first = interleaved ? 2 * i : i;
        const std::size_t second = interleaved ? 2 * i + 1 : i + half;
        ASSERT_NEAR(turned[first], head[first] * cos[i] - head[second] * sin[i], 4e-6);
        ASSERT_NEAR(turned[second], head[second] * cos[i] + head[first] * sin[i], 4e-6);
      }
      for (std::size_t i = 2 * half; i < n; ++i) ASSERT_EQ(turned[i], head[i]);
    }
  }
}

TEST_P(RowKernelsTest, NothingDependsOnAlignment) {
  const std::size_t n = 100;
  std::vector<float> moved(n + 3);
  const auto x = random_row(n, 10);
  const auto weight = random_row(n, 11);
  std::copy(x.begin(), x.end(), moved.begin() + 3);
  std::vector<float> out(n);
  std::vector<float> again(n);
  kernels().rms_norm(x.data(), weight.data(), 1e-5F, n, out.data());
  kernels().rms_norm(moved.data() + 3, weight.data(), 1e-5F, n, again.data());
  EXPECT_EQ(out, again);
}

std::string name_of(const testing::TestParamInfo<InstructionSet>& info) {
  std::string name(to_string(info.param));
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(EachSet, RowKernelsTest,
                         testing::ValuesIn(available_instruction_sets().begin(),
                                           available_instruction_sets().end()),
                         name_of);

}  // namespace
}  // namespace onnxlocal::ep
