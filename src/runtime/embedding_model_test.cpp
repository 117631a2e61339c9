// Over tests/data/tiny_embedding, whose vectors are known (make_tiny_embedding.py says how): copies
// of it pool in another way, or have another graph.
#include "runtime/embedding_model.h"

#include <fstream>
#include <functional>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include "model/onnx_file.h"
#include "runtime/embedding_pooling.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

using ::testing::HasSubstr;
using testing::ScratchFolder;
using testing::small_options;
using testing::tiny_model;
using Row = std::vector<TokenId>;
using Vector = std::vector<float>;

constexpr std::size_t kSize = 8;

Vector token_vector(TokenId token, std::size_t tokens) {
  Vector vector;
  for (std::size_t j = 0; j < kSize; ++j) {
    const auto turn = static_cast<std::size_t>(token) * (j + 3) % 17;
    vector.push_back((static_cast<float>(turn) - 8) / 8 + static_cast<float>(tokens) / 16);
  }
  return vector;
}

Vector expected(const Row& row, Pooling pooling, bool normalizes) {
  Vector hidden;
  for (const TokenId token : row) {
    const Vector one = token_vector(token, row.size());
    hidden.insert(hidden.end(), one.begin(), one.end());
  }
  Vector vector = pool(hidden, kSize, pooling);
  if (normalizes) normalize(vector);
  return vector;
}

/// A copy of the tiny model that a test may change.
struct Changed {
  ScratchFolder scratch;
  std::filesystem::path path = scratch.copy_of(tiny_model("tiny_embedding"));

  void write(const std::string& name, std::string_view text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
  void change_graph(const std::function<void(onnx::GraphProto&)>& change) const {
    onnx::ModelProto model;
    ASSERT_TRUE(read_onnx_file(path / "onnx" / "model.onnx", model));
    change(*model.mutable_graph());
    ASSERT_TRUE(write_onnx_file(path / "onnx" / "model.onnx", model));
  }
};

Result<std::unique_ptr<EmbeddingModel>> try_load_embedding(const std::filesystem::path& path) {
  TRY(const EmbeddingFolder folder, read_embedding_folder(path));
  return EmbeddingModel::load(folder, small_options());
}

std::vector<Vector> embed(const std::filesystem::path& path, const std::vector<Row>& rows) {
  auto model = try_load_embedding(path);
  EXPECT_TRUE(model) << describe(model.error());
  if (!model) return {};
  auto vectors = (*model)->embed(rows);
  EXPECT_TRUE(vectors) << describe(vectors.error());
  return vectors.value_or(std::vector<Vector>());
}

std::string load_error(const std::filesystem::path& path) {
  const auto model = try_load_embedding(path);
  return model ? "no error" : model.error().message;
}

void expect_near(const Vector& actual, const Vector& wanted) {
  ASSERT_EQ(actual.size(), wanted.size());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], wanted[i], 1e-6) << i;
}

TEST(EmbeddingModel, GivesTheNormalisedMeanOfEachRowInABatch) {
  const std::vector<Row> rows = {{257, 72, 105, 258}, {257, 258}, {257, 1, 2, 3, 4, 5, 258}};
  const auto vectors = embed(tiny_model("tiny_embedding"), rows);
  ASSERT_EQ(vectors.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    expect_near(vectors[i], expected(rows[i], Pooling::kMean, true));
  }
}

TEST(EmbeddingModel, PoolsAsItsFolderSays) {
  const std::vector<Row> rows = {{257, 72, 258}, {257, 9, 8, 7, 258}};
  for (const auto& [key, pooling] : {std::pair("pooling_mode_cls_token", Pooling::kCls),
                                     std::pair("pooling_mode_lasttoken", Pooling::kLast)}) {
    const Changed folder;
    folder.write("1_Pooling/config.json", "{\"" + std::string(key) + "\": true}");
    folder.write("modules.json", R"([{"type": "models.Transformer"},
                                     {"type": "models.Pooling", "path": "1_Pooling"}])");
    const auto vectors = embed(folder.path, rows);
    ASSERT_EQ(vectors.size(), rows.size());
    expect_near(vectors[0], expected(rows[0], pooling, false));
    expect_near(vectors[1], expected(rows[1], pooling, false));
  }
}

void set_int(onnx::NodeProto& node, const char* name, std::int64_t value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INT);
  attribute->set_i(value);
}

/// A row's vector is then that of its least token, as the table has it.
void add_sentence_output(onnx::GraphProto& graph) {
  auto* least = graph.add_node();
  least->set_op_type("ReduceMin");
  least->add_input("input_ids");
  least->add_output("least_token");
  set_int(*least, "keepdims", 0);
  auto* axes = least->add_attribute();
  axes->set_name("axes");
  axes->set_type(onnx::AttributeProto::INTS);
  axes->add_ints(1);
  auto* look_up = graph.add_node();
  look_up->set_op_type("Gather");
  look_up->add_input("table");
  look_up->add_input("least_token");
  look_up->add_output("sentence_embedding");
  auto* output = graph.add_output();
  output->set_name("sentence_embedding");
  output->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
}

TEST(EmbeddingModel, TakesTheGraphsOwnSentenceEmbedding) {
  const Changed folder;
  folder.write("modules.json", R"([{"type": "models.Dense"}])");
  EXPECT_THAT(load_error(folder.path), HasSubstr("Dense is not in its graph"));
  folder.change_graph(add_sentence_output);
  const auto vectors = embed(folder.path, {{5}, {9, 7}});
  ASSERT_EQ(vectors.size(), 2U);
  expect_near(vectors[0], token_vector(5, 0));
  expect_near(vectors[1], token_vector(7, 0));
}

TEST(EmbeddingModel, FeedsADecodersGraphPositionsAndNoPast) {
  const Changed folder;
  folder.write("1_Pooling/config.json", R"({"pooling_mode_lasttoken": true})");
  folder.write("modules.json", R"([{"type": "models.Pooling", "path": "1_Pooling"}])");
  folder.change_graph([](onnx::GraphProto& graph) {
    // What was added to each token for its type is added for its position.
    ASSERT_EQ(graph.input(2).name(), "token_type_ids");
    graph.mutable_input(2)->set_name("position_ids");
    for (onnx::NodeProto& node : *graph.mutable_node()) {
      if (node.input(0) == "token_type_ids") node.set_input(0, "position_ids");
    }
    auto* past = graph.add_input();
    past->set_name("past_key_values.0.key");
    auto* type = past->mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    for (const int size : {0, 2, 0, 4}) {
      auto* dim = type->mutable_shape()->add_dim();
      if (size > 0) dim->set_dim_value(size);
    }
  });
  const std::vector<Row> rows = {{257, 3, 258}, {257}};
  const auto vectors = embed(folder.path, rows);
  ASSERT_EQ(vectors.size(), 2U);
  Vector last = expected(rows[0], Pooling::kLast, false);
  for (float& x : last) x += 2;
  expect_near(vectors[0], last);
  expect_near(vectors[1], expected(rows[1], Pooling::kLast, false));
}

TEST(EmbeddingModel, RefusesAGraphThatGivesNoVectors) {
  const Changed folder;
  folder.change_graph([](onnx::GraphProto& graph) {
    graph.mutable_output(0)->set_name("something");
    graph.mutable_node(graph.node_size() - 1)->set_output(0, "something");
  });
  EXPECT_THAT(load_error(folder.path), HasSubstr("no output sentence_embedding"));
}

TEST(EmbeddingModel, RefusesAGraphThatAsksForMore) {
  const Changed folder;
  folder.change_graph([](onnx::GraphProto& graph) {
    auto* input = graph.add_input();
    *input = graph.input(0);
    input->set_name("pixel_values");
  });
  EXPECT_THAT(load_error(folder.path), HasSubstr("'pixel_values'"));
}

TEST(EmbeddingModel, SaysWhyAGraphCannotBeOpened) {
  const Changed folder;
  folder.write("onnx/model.onnx", "no graph");
  EXPECT_THAT(load_error(folder.path), HasSubstr("model.onnx"));
}

TEST(EmbeddingModel, TellsATokenThatItDoesNotHave) {
  auto model = try_load_embedding(tiny_model("tiny_embedding"));
  ASSERT_TRUE(model);
  const std::vector<Row> rows = {{100'000}};
  EXPECT_FALSE((*model)->embed(rows).has_value());
  EXPECT_EQ((*model)->dimensions(), kSize);
  EXPECT_EQ((*model)->execution_provider(), "cpu");
}

}  // namespace
}  // namespace onnxlocal
