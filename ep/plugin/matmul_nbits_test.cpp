// Quantized products of our provider against the stock one's in float32 (accuracy level 1), so that
// what differs is the rounding of activations to 8 bits alone.

#include "cpu/instruction_set.h"
#include "plugin/test_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <cmath>

namespace onnxlocal::ep {
namespace {

constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;

enum class Zeros { kNone, kBytes, kFloats };

struct Product {
  std::int64_t outputs = 48;
  std::int64_t columns = 128;
  std::int64_t bits = 4;
  std::int64_t block = 32;
  Zeros zeros = Zeros::kNone;
  bool has_bias = false;
  std::int64_t accuracy_level = 4;
  bool has_constant_scales = true;

  std::int64_t blocks() const { return (columns + block - 1) / block; }
};

std::vector<float> scales_of(const Product& product) {
  std::vector<float> scales =
      random_floats(static_cast<std::size_t>(product.outputs * product.blocks()), 2, 0.02F);
  for (float& scale : scales) scale += 0.05F;
  return scales;
}

TestGraph make_graph(const Product& product) {
  const std::int64_t blob = product.block * product.bits / 8;
  const auto count = static_cast<std::size_t>(product.outputs * product.blocks());
  TestGraph graph;
  graph.input("x", kFloat, {-1, -1, product.columns});
  graph.output("y", kFloat, {-1, -1, product.outputs});
  graph.constant("b", TestTensor::of({product.outputs, product.blocks(), blob},
                                     random_bytes(count * static_cast<std::size_t>(blob), 1)));
  if (product.has_constant_scales) {
    graph.constant("s", TestTensor::of({static_cast<std::int64_t>(count)}, scales_of(product)));
  } else {
    graph.input("s", kFloat, {static_cast<std::int64_t>(count)});
  }
  if (product.zeros == Zeros::kBytes) {
    const std::int64_t row = (product.blocks() * product.bits + 7) / 8;
    graph.constant(
        "z", TestTensor::of({product.outputs * row},
                            random_bytes(static_cast<std::size_t>(product.outputs * row), 3)));
  } else if (product.zeros == Zeros::kFloats) {
    std::vector<float> zeros = random_floats(count, 3);
    for (float& zero : zeros) zero += static_cast<float>(1 << (product.bits - 1));
    graph.constant("z", TestTensor::of({static_cast<std::int64_t>(count)}, zeros));
  }
  const auto outputs = static_cast<std::size_t>(product.outputs);
  graph.constant("bias", TestTensor::of({product.outputs}, random_floats(outputs, 4)));
  graph.node(
      "MatMulNBits", "com.microsoft",
      {"x", "b", "s", product.zeros == Zeros::kNone ? "" : "z", "", product.has_bias ? "bias" : ""},
      {"y"},
      {{"N", product.outputs},
       {"K", product.columns},
       {"bits", product.bits},
       {"block_size", product.block},
       {"accuracy_level", product.accuracy_level}});
  return graph;
}

/// Root of the mean squared difference over the root of the mean square.
double noise(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0;
  double square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double{actual[i]} - expected[i], 2);
    square += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(difference / square);
}

double noise_of(Product product, std::int64_t rows, const std::string& isa = {}) {
  auto& runtime = TestRuntime::instance();
  Ort::Session ours = make_graph(product).session(runtime.ours({{"mode", "single"}, {"isa", isa}}));
  EXPECT_EQ(our_nodes(ours)["MatMulNBits"], 1);
  product.accuracy_level = 1;
  Ort::Session stock = make_graph(product).session(TestRuntime::stock());
  const auto count = static_cast<std::size_t>(rows * product.columns);
  const std::map<std::string, TestTensor> input{
      {"x", TestTensor::of({1, rows, product.columns}, random_floats(count, 5))}};
  return noise(run(ours, input).at("y").values<float>(), run(stock, input).at("y").values<float>());
}

// Rounding to 127 steps of a block's largest number leaves 0.6 % of noise on normal numbers.
constexpr double kNoise = 0.012;

TEST(MatMulNBits, IsTheStockOnesForEveryFormat) {
  for (const std::int64_t bits : {4, 8}) {
    for (const std::int64_t block : {32, 64, 128}) {
      for (const Zeros zeros : {Zeros::kNone, Zeros::kBytes, Zeros::kFloats}) {
        // The stock kernel has no float zero points of 8 bits.
        if (bits == 8 && zeros == Zeros::kFloats) continue;
        EXPECT_LT(noise_of({.bits = bits, .block = block, .zeros = zeros}, 3), kNoise)
            << bits << " bits, block " << block << ", zeros " << static_cast<int>(zeros);
      }
    }
  }
}

TEST(MatMulNBits, IsTheStockOnesForOddShapes) {
  for (const std::int64_t outputs : {1, 16, 17, 100}) {
    for (const std::int64_t columns : {32, 96, 576}) {
      for (const std::int64_t rows : {1, 2, 33}) {
        EXPECT_LT(noise_of({.outputs = outputs, .columns = columns}, rows), kNoise)
            << outputs << " x " << columns << ", " << rows << " rows";
      }
    }
  }
}

TEST(MatMulNBits, AddsABias) { EXPECT_LT(noise_of({.has_bias = true}, 5), kNoise); }

TEST(MatMulNBits, IsTheSameForEveryInstructionSet) {
  for (const InstructionSet set : available_instruction_sets()) {
    EXPECT_LT(noise_of({.zeros = Zeros::kFloats}, 4, std::string(to_string(set))), kNoise)
        << to_string(set);
  }
}

TEST(MatMulNBits, TakesNoRows) {
  Ort::Session session = make_graph({}).session(TestRuntime::instance().ours({{"mode", "single"}}));
  EXPECT_EQ(run(session, {{"x", TestTensor::of<float>({1, 0, 128}, {})}}).at("y").dims,
            (std::vector<std::int64_t>{1, 0, 48}));
}

TEST(MatMulNBits, IsLeftToOthersWhereItAsksForMoreThanEightBits) {
  for (const std::int64_t level : {1, 2, 3}) {
    const Ort::Session session = make_graph({.accuracy_level = level})
                                     .session(TestRuntime::instance().ours({{"mode", "single"}}));
    EXPECT_THAT(our_nodes(session), testing::IsEmpty()) << level;
  }
}

TEST(MatMulNBits, IsLeftToOthersWhereItsScalesAreNoConstant) {
  const Ort::Session session = make_graph({.has_constant_scales = false})
                                   .session(TestRuntime::instance().ours({{"mode", "single"}}));
  EXPECT_THAT(our_nodes(session), testing::IsEmpty());
}

TEST(MatMulNBits, IsLeftToOthersForABlockThatWeHaveNot) {
  const Ort::Session session =
      make_graph({.block = 16}).session(TestRuntime::instance().ours({{"mode", "single"}}));
  EXPECT_THAT(our_nodes(session), testing::IsEmpty());
}

}  // namespace
}  // namespace onnxlocal::ep
