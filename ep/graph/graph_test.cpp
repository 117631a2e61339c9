#include "graph/graph.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "graph/text.h"

namespace onnxlocal::ep {
namespace {

template <class Element>
Constant constant_of(ElementType type, std::span<const Element> values) {
  return {.type = type,
          .dims = {static_cast<std::int64_t>(values.size())},
          .bytes = std::as_bytes(values),
          .place = {}};
}

TEST(Constants, GiveTheirIntegers) {
  const std::int32_t narrow[] = {1, -2};
  const std::int64_t wide[] = {3, std::numeric_limits<std::int64_t>::min()};
  EXPECT_EQ(read_integers(constant_of<std::int32_t>(ElementType::kInt32, narrow)),
            (std::vector<std::int64_t>{1, -2}));
  EXPECT_EQ(read_integers(constant_of<std::int64_t>(ElementType::kInt64, wide)),
            (std::vector<std::int64_t>{3, std::numeric_limits<std::int64_t>::min()}));
}

TEST(Constants, GiveTheirFloats) {
  const float single[] = {0.5F, -3};
  const std::uint16_t half[] = {0x3800, 0xc200};
  EXPECT_EQ(read_floats(constant_of<float>(ElementType::kFloat32, single)),
            (std::vector<float>{0.5F, -3}));
  EXPECT_EQ(read_floats(constant_of<std::uint16_t>(ElementType::kFloat16, half)),
            (std::vector<float>{0.5F, -3}));
}

TEST(Constants, GiveNothingOfAnotherType) {
  const float single[] = {1};
  EXPECT_EQ(read_integers(constant_of<float>(ElementType::kFloat32, single)), std::nullopt);
  const std::int64_t wide[] = {1};
  EXPECT_EQ(read_floats(constant_of<std::int64_t>(ElementType::kInt64, wide)), std::nullopt);
}

TEST(Constants, GiveNothingWhereBytesAndShapeDiffer) {
  const std::int64_t wide[] = {1, 2};
  auto constant = constant_of<std::int64_t>(ElementType::kInt64, wide);
  constant.dims = {3};
  EXPECT_EQ(read_integers(constant), std::nullopt);
}

TEST(Constants, GiveNothingOfAnExternalFile) {
  const std::int64_t wide[] = {1};
  auto constant = constant_of<std::int64_t>(ElementType::kInt64, wide);
  constant.place = ExternalPlace{.file = "/elsewhere", .offset = 0, .bytes = 8};
  EXPECT_EQ(read_integers(constant), std::nullopt);
}

TEST(Dimensions, MultiplyWithoutOverflow) {
  EXPECT_EQ(element_count(std::vector<std::int64_t>{}), 1U);
  EXPECT_EQ(element_count(std::vector<std::int64_t>{3, 0, 5}), 0U);
  EXPECT_EQ(element_count(std::vector<std::int64_t>{3, -1}), std::nullopt);
  EXPECT_EQ(element_count(std::vector<std::int64_t>(3, std::int64_t{1} << 40)), std::nullopt);
}

TEST(Nodes, GiveTheirAttributesOrADefault) {
  Node node;
  node.attributes["axis"] = std::int64_t{2};
  node.attributes["epsilon"] = 0.5F;
  node.attributes["mode"] = std::string("tanh");
  node.attributes["axes"] = std::vector<std::int64_t>{1, 2};
  EXPECT_EQ(node.integer("axis", 7), 2);
  EXPECT_EQ(node.integer("epsilon", 7), 7);
  EXPECT_EQ(node.number("epsilon", 1), 0.5F);
  EXPECT_EQ(node.text("mode", "none"), "tanh");
  EXPECT_EQ(node.text("other", "none"), "none");
  EXPECT_EQ(node.integers("axes"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(node.integers("axis"), std::nullopt);
  EXPECT_EQ(node.input(3), kNoValue);
}

TEST(Graphs, KnowWhoMakesAndWhoReadsAValue) {
  Graph graph;
  graph.values.resize(3);
  graph.nodes.push_back(
      {.op = "A", .domain = "", .inputs = {0, kNoValue}, .outputs = {1}, .attributes = {}});
  graph.nodes.push_back(
      {.op = "B", .domain = "", .inputs = {1, 1}, .outputs = {2}, .attributes = {}});
  connect(graph);
  EXPECT_EQ(graph.values[0].producer, -1);
  EXPECT_EQ(graph.values[1].producer, 0);
  EXPECT_EQ(graph.values[1].consumers, (std::vector<std::int32_t>{1, 1}));
}

TEST(Text, JoinsWordsAndNumbers) {
  const std::vector<std::int64_t> dims = {2, -1};
  EXPECT_EQ(text("a ", 4, " of ", dims_text<std::int64_t>(dims)), "a 4 of [2, -1]");
}

}  // namespace
}  // namespace onnxlocal::ep
