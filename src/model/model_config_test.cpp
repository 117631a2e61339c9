#include "model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include "model/test_folder.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::HasSubstr;

std::string genai_config(const std::string& model_file = "model.onnx") {
  ModelConfig config;
  config.architecture = "llama";
  config.context_tokens = 64;
  config.vocabulary_size = 100;
  config.layers = 1;
  config.attention_heads = 2;
  config.kv_heads = 1;
  config.head_dim = 16;
  config.hidden_size = 32;
  config.eos_tokens = {2};
  config.model_file = model_file;
  return to_genai_config(config);
}

constexpr const char* kExportConfig = R"({"model_type": "gpt2", "n_head": 1, "n_positions": 8,
                                          "eos_token_id": 1})";

/// The smallest export: one layer, one head.
std::string exported_graph() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  auto* graph = model.mutable_graph();
  graph->add_input()->set_name("input_ids");
  graph->add_input()->set_name("attention_mask");
  auto* logits = graph->add_output();
  logits->set_name("logits");
  logits->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(10);
  for (const auto* part : {"key", "value"}) {
    auto* past = graph->add_input();
    past->set_name(std::string("past_key_values.0.") + part);
    auto* shape = past->mutable_type()->mutable_tensor_type()->mutable_shape();
    for (const int dim : {1, 1, 1, 8}) shape->add_dim()->set_dim_value(dim);
    graph->add_output()->set_name(std::string("present.0.") + part);
  }
  return model.SerializeAsString();
}

std::string error_of(const std::filesystem::path& path) {
  const auto folder = read_model_folder(path);
  return folder ? "no error" : folder.error().message;
}

TEST(ModelFolder, OfGenaiIsReadByItsFolderOrItsFile) {
  const TestFolder folder;
  folder.write("genai_config.json", genai_config());
  folder.write("model.onnx", "graph");
  for (const auto& path : {folder.path(), folder.path() / "model.onnx", folder.path() / ""}) {
    const auto read = read_model_folder(path);
    ASSERT_TRUE(read) << describe(read.error());
    EXPECT_EQ(read->config.layers, 1U);
    EXPECT_EQ(read->name, folder.path().filename());
    EXPECT_EQ(std::filesystem::canonical(read->model_file()),
              std::filesystem::canonical(folder.path() / "model.onnx"));
  }
}

TEST(ModelFolder, AnotherGraphOfAFolderCanBeNamed) {
  const TestFolder folder;
  folder.write("genai_config.json", genai_config());
  folder.write("model_fp16.onnx", "graph");
  const auto read = read_model_folder(folder.path() / "model_fp16.onnx");
  ASSERT_TRUE(read) << describe(read.error());
  EXPECT_EQ(read->config.model_file, "model_fp16.onnx");
}

TEST(ModelFolder, OfAnExportIsReadFromItsGraph) {
  const TestFolder folder;
  folder.write("config.json", kExportConfig);
  folder.write("generation_config.json", R"({"eos_token_id": [1, 3]})");
  folder.write("onnx/model.onnx", exported_graph());
  for (const auto& path : {folder.path(), folder.path() / "onnx" / "model.onnx"}) {
    const auto read = read_model_folder(path);
    ASSERT_TRUE(read) << describe(read.error());
    EXPECT_EQ(read->config.architecture, "gpt2");
    EXPECT_EQ(read->config.head_dim, 8U);
    EXPECT_EQ(read->config.eos_tokens.size(), 2U);
    EXPECT_EQ(read->config.model_file, "onnx/model.onnx");
    EXPECT_EQ(read->name, folder.path().filename());
  }
}

TEST(ModelFolder, ThatIsNotThereIsNotFound) {
  const auto read = read_model_folder("/nowhere/at/all");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kNotFound);
}

TEST(ModelFolder, SaysWhatIsMissing) {
  const TestFolder folder;
  EXPECT_THAT(error_of(folder.path()), HasSubstr("no genai_config.json and no .onnx file"));
  folder.write("genai_config.json", genai_config("graph.onnx"));
  EXPECT_THAT(error_of(folder.path()), HasSubstr("graph.onnx: missing, though"));
  folder.write("graph.onnx", "");
  EXPECT_THAT(error_of(folder.path()), HasSubstr("found an empty file"));
}

TEST(ModelFolder, NeedsAConfiguration) {
  const TestFolder folder;
  const auto file = folder.write("some.onnx", "graph");
  EXPECT_THAT(error_of(file), HasSubstr("expected genai_config.json or config.json beside it"));
  EXPECT_THAT(error_of(folder.path()), HasSubstr("beside some.onnx"));
  EXPECT_THAT(error_of(folder.write("some.txt", "x")), HasSubstr("expected a model folder or an"));
}

TEST(ModelFolder, WithSeveralGraphsAsksForOne) {
  const TestFolder folder;
  folder.write("config.json", kExportConfig);
  folder.write("b.onnx", "x");
  folder.write("onnx/a.onnx", "x");
  EXPECT_THAT(error_of(folder.path()), HasSubstr("several .onnx files: b.onnx, onnx/a.onnx"));
}

TEST(ModelFolder, AnExportThatIsNoGraphIsCorrupt) {
  const TestFolder folder;
  folder.write("config.json", kExportConfig);
  folder.write("model.onnx", "<html>");
  EXPECT_THAT(error_of(folder.path()), HasSubstr("model.onnx: 6 bytes that are not a whole ONNX"));
}

}  // namespace
}  // namespace onnxlocal
