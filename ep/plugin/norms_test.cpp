// Norms of our provider against the stock one's.

#include "plugin/test_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal::ep {
namespace {

constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr double kSame = 2e-6;

using Outputs = std::map<std::string, TestTensor>;

void expect_same(const TestGraph& graph, const Outputs& inputs, const std::string& op) {
  Ort::Session ours = graph.session(TestRuntime::instance().ours({{"mode", "single"}}));
  Ort::Session stock = graph.session(TestRuntime::stock());
  EXPECT_EQ(our_nodes(ours)[op], 1);
  const Outputs actual = run(ours, inputs);
  for (const auto& [name, expected] : run(stock, inputs)) {
    EXPECT_EQ(actual.at(name).dims, expected.dims);
    EXPECT_LT(relative_error(actual.at(name).values<float>(), expected.values<float>()), kSame)
        << name;
  }
}

TEST(SimplifiedLayerNorm, IsTheStockOnes) {
  for (const std::int64_t width : {1, 7, 64, 576, 4099}) {
    TestGraph graph;
    graph.input("x", kFloat, {-1, -1, width});
    graph.output("y", kFloat, {-1, -1, width});
    graph.constant("w", TestTensor::of({width}, random_floats(static_cast<std::size_t>(width), 1)));
    graph.node("SimplifiedLayerNormalization", "", {"x", "w"}, {"y"}, {{"epsilon", 1e-5F}});
    const auto count = static_cast<std::size_t>(2 * 37 * width);
    expect_same(graph, {{"x", TestTensor::of({2, 37, width}, random_floats(count, 2))}},
                "SimplifiedLayerNormalization");
  }
}

TEST(SimplifiedLayerNorm, TakesAnEmptyInput) {
  TestGraph graph;
  graph.input("x", kFloat, {-1, 16});
  graph.output("y", kFloat, {-1, 16});
  graph.constant("w", TestTensor::of({16}, random_floats(16, 1)));
  graph.node("SimplifiedLayerNormalization", "", {"x", "w"}, {"y"}, {});
  Ort::Session session = graph.session(TestRuntime::instance().ours({{"mode", "single"}}));
  EXPECT_EQ(run(session, {{"x", TestTensor::of<float>({0, 16}, {})}}).at("y").dims,
            (std::vector<std::int64_t>{0, 16}));
}

TEST(SimplifiedLayerNorm, IsLeftToOthersWhereMoreThanTheLastAxisIsNormed) {
  TestGraph graph;
  graph.input("x", kFloat, {3, 4, 8});
  graph.output("y", kFloat, {3, 4, 8});
  graph.constant("w", TestTensor::of({4, 8}, random_floats(32, 1)));
  graph.node("SimplifiedLayerNormalization", "", {"x", "w"}, {"y"}, {{"axis", std::int64_t{1}}});
  Ort::Session session = graph.session(TestRuntime::instance().ours({{"mode", "single"}}));
  EXPECT_THAT(our_nodes(session), testing::IsEmpty());
}

/// input + skip (+ bias) of [2, 3, width]; the sum as an output where it is wanted.
void expect_same_sum(bool has_bias, bool wants_sum, const std::vector<std::int64_t>& skip_dims) {
  constexpr std::int64_t kWidth = 96;
  TestGraph graph;
  graph.input("x", kFloat, {-1, -1, kWidth});
  graph.input("s", kFloat, std::vector<std::int64_t>(skip_dims.size(), -1));
  graph.output("y", kFloat, {-1, -1, kWidth});
  graph.constant("w", TestTensor::of({kWidth}, random_floats(kWidth, 1)));
  graph.constant("b", TestTensor::of({kWidth}, random_floats(kWidth, 2)));
  if (wants_sum) graph.output("sum", kFloat, {-1, -1, kWidth});
  graph.node("SkipSimplifiedLayerNormalization", "com.microsoft",
             {"x", "s", "w", has_bias ? "b" : ""}, {"y", "", "", wants_sum ? "sum" : ""},
             {{"epsilon", 1e-6F}});
  std::size_t skip_count = 1;
  for (const std::int64_t dim : skip_dims) skip_count *= static_cast<std::size_t>(dim);
  expect_same(graph,
              {{"x", TestTensor::of({2, 3, kWidth}, random_floats(2 * 3 * kWidth, 3))},
               {"s", TestTensor::of(skip_dims, random_floats(skip_count, 4))}},
              "SkipSimplifiedLayerNormalization");
}

TEST(SkipSimplifiedLayerNorm, IsTheStockOnesWithAndWithoutBiasAndSum) {
  for (const bool has_bias : {false, true}) {
    for (const bool wants_sum : {false, true}) {
      expect_same_sum(has_bias, wants_sum, {2, 3, 96});
    }
  }
}

TEST(SkipSimplifiedLayerNorm, RepeatsASkipThatTheBatchShares) {
  expect_same_sum(false, true, {1, 3, 96});
  expect_same_sum(true, true, {3, 96});
}

}  // namespace
}  // namespace onnxlocal::ep
