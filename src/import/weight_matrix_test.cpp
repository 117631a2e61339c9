#include "import/weight_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/file_system.h"
#include "import/dequantize.h"
#include "model/test_folder.h"
#include "tiny_gguf.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::ElementsAre;

/// A tensor that owns its bytes: `rows` rows of 32 values, row r all `first + r`.
struct OwnTensor {
  OwnTensor(std::string_view name, std::uint64_t rows, float first, GgmlType type) {
    std::vector<float> values;
    for (std::uint64_t row = 0; row < rows; ++row) {
      values.insert(values.end(), 32, first + static_cast<float>(row));
    }
    bytes = test::quantize(type, values);
    tensor = {name, type, {32, rows}, bytes};
  }
  std::vector<std::byte> bytes;
  GgufTensor tensor;
};

/// The first value of each row of a float matrix as it is written.
std::vector<float> written_rows(const WeightMatrix& matrix) {
  const TestFolder folder;
  GraphBuilder graph("test");
  matrix.add_product(graph, "x", "y");
  EXPECT_TRUE(graph.data().write(folder.path() / "data"));
  const auto text = read_text_file(folder.path() / "data", 1U << 20U).value();
  std::vector<float> firsts(text.size() / (32 * sizeof(float)));
  for (std::size_t row = 0; row < firsts.size(); ++row) {
    std::memcpy(&firsts[row], text.data() + row * 32 * sizeof(float), sizeof(float));
  }
  return firsts;
}

TEST(WeightMatrix, InterleavedRowsComeBackInHalves) {
  // Pairs of the file, (0 1) (2 3), are first and second half of ours.
  std::vector<std::uint64_t> rows;
  for (std::uint64_t row = 0; row < 8; ++row) {
    rows.push_back(source_row(RowOrder::kInterleaved, 4, row));
  }
  EXPECT_THAT(rows, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_EQ(source_row(RowOrder::kHalves, 4, 5), 5U);
}

TEST(WeightMatrix, StacksRowsInOrder) {
  const OwnTensor q("q", 4, 0.0F, GgmlType::kF32);
  const OwnTensor v("v", 2, 10.0F, GgmlType::kF32);
  const WeightMatrix matrix({{&q.tensor, RowOrder::kInterleaved, 1}, {&v.tensor}});
  EXPECT_EQ(matrix.rows(), 6U);
  EXPECT_EQ(matrix.columns(), 32U);
  EXPECT_THAT(written_rows(matrix), ElementsAre(0, 2, 1, 3, 10, 11));
}

TEST(WeightMatrix, HalfFloatsAreWidened) {
  for (const auto type : {GgmlType::kF16, GgmlType::kBf16}) {
    const OwnTensor tensor("w", 3, 1.0F, type);
    EXPECT_THAT(written_rows(WeightMatrix({{&tensor.tensor}})), ElementsAre(1, 2, 3));
  }
}

TEST(WeightMatrix, QuantizedProductsHaveTheOperatorsShapes) {
  const OwnTensor tensor("w", 3, 1.0F, GgmlType::kQ4_1);
  GraphBuilder graph("test");
  WeightMatrix({{&tensor.tensor}}).add_product(graph, "x", "y");
  const auto& proto = graph.model().graph();
  ASSERT_EQ(proto.node_size(), 1);
  EXPECT_EQ(proto.node(0).op_type(), "MatMulNBits");
  EXPECT_EQ(proto.node(0).domain(), "com.microsoft");
  EXPECT_THAT(proto.node(0).input(), ElementsAre("x", "w.quants", "w.scales", "w.zero_points"));
  ASSERT_EQ(proto.initializer_size(), 3);
  EXPECT_THAT(proto.initializer(0).dims(), ElementsAre(3, 1, 16));
  EXPECT_THAT(proto.initializer(1).dims(), ElementsAre(3));
  EXPECT_THAT(proto.initializer(2).dims(), ElementsAre(3));
}

TEST(WeightMatrix, ATiedTableIsWrittenOnce) {
  for (const auto type : {GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kF32}) {
    const OwnTensor tensor("w", 64, 1.0F, type);
    const WeightMatrix table({{&tensor.tensor}});
    GraphBuilder graph("test");
    table.add_lookup(graph, "ids", "x");
    const auto size = graph.data().size_bytes();
    table.add_product_of_table(graph, "x", "y");
    EXPECT_EQ(graph.data().size_bytes(), size) << to_string(type);
  }
}

TEST(WeightMatrix, ATableWithMinimaIsLookedUpAsFloats) {
  const OwnTensor tensor("w", 4, 1.0F, GgmlType::kQ4_1);
  const WeightMatrix table({{&tensor.tensor}});
  GraphBuilder graph("test");
  table.add_lookup(graph, "ids", "x");
  table.add_product_of_table(graph, "x", "y");
  EXPECT_EQ(graph.model().graph().node(0).op_type(), "Gather");
  EXPECT_EQ(graph.model().graph().node(1).op_type(), "MatMulNBits");
}

}  // namespace
}  // namespace onnxlocal
