#include "model/embedding_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include "model/model_config.h"
#include "model/test_folder.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::HasSubstr;

constexpr const char* kBert = R"({"model_type": "bert", "architectures": ["BertModel"],
  "hidden_size": 384, "max_position_embeddings": 512, "pad_token_id": 0})";
constexpr const char* kModules = R"([
  {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])";

std::string graph(const std::string& output) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.mutable_graph()->add_input()->set_name("input_ids");
  model.mutable_graph()->add_output()->set_name(output);
  return model.SerializeAsString();
}

/// A folder with a graph, and config.json where it is given.
struct Export : TestFolder {
  explicit Export(std::string_view config = kBert,
                  const std::string& output = "last_hidden_state") {
    write("onnx/model.onnx", graph(output));
    if (!config.empty()) write("config.json", config);
  }
  EmbeddingConfig config() const {
    const auto folder = read_embedding_folder(path());
    EXPECT_TRUE(folder) << describe(folder.error());
    return folder ? folder->config : EmbeddingConfig{};
  }
};

std::string pooling_error(std::string_view json) {
  const auto parsed = parse_pooling_config(json, "config.json");
  return parsed ? "no error" : parsed.error().message;
}

TEST(EmbeddingFolder, IsKnownByItsStepsOrItsGraph) {
  EXPECT_TRUE(holds_embedding_model(Export().path()));
  EXPECT_TRUE(holds_embedding_model(Export(kBert, "sentence_embedding").path()));
  EXPECT_FALSE(holds_embedding_model(Export(kBert, "logits").path()));
  EXPECT_FALSE(holds_embedding_model(Export("").path()));
  const Export causal(R"({"architectures": ["Qwen3ForCausalLM"]})");
  EXPECT_FALSE(holds_embedding_model(causal.path()));
  causal.write("modules.json", kModules);
  EXPECT_TRUE(holds_embedding_model(causal.path()));
}

TEST(EmbeddingFolder, IsRefusedWhereTextIsAskedFor) {
  const Export folder;
  for (const auto& path : {folder.path(), folder.path() / "onnx" / "model.onnx"}) {
    const auto model = read_model_folder(path);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(model.error().message, HasSubstr("is an embedding model"));
    EXPECT_THAT(model.error().hint, HasSubstr("/v1/embeddings"));
  }
}

TEST(EmbeddingFolder, WithoutStepsIsPooledByWhatTheModelIs) {
  const EmbeddingConfig bert = Export().config();
  EXPECT_EQ(bert.pooling, Pooling::kMean);
  EXPECT_TRUE(bert.normalizes);
  EXPECT_EQ(bert.dimensions, 384U);
  EXPECT_EQ(bert.context_tokens, 512U);
  EXPECT_EQ(bert.model_file, "onnx/model.onnx");
  EXPECT_EQ(Export(R"({"architectures": ["Qwen3ForCausalLM"]})").config().pooling, Pooling::kLast);
}

TEST(EmbeddingFolder, FollowsItsSteps) {
  const Export folder;
  folder.write("modules.json", kModules);
  folder.write("1_Pooling/config.json",
               R"({"word_embedding_dimension": 96, "pooling_mode_cls_token": true})");
  EXPECT_EQ(folder.config().pooling, Pooling::kCls);
  EXPECT_EQ(folder.config().dimensions, 96U);
  EXPECT_FALSE(folder.config().normalizes);
  folder.write("modules.json", R"([{"type": "sentence_transformers.models.Normalize"}])");
  EXPECT_TRUE(folder.config().normalizes);
}

TEST(EmbeddingFolder, NamesAStepThatOnlyItsGraphMayHave) {
  const Export folder;
  folder.write("modules.json", R"([{"type": "sentence_transformers.models.Dense"}])");
  EXPECT_EQ(folder.config().foreign_step, "Dense");
  EXPECT_EQ(folder.config().dimensions, 0U) << "the step may give another size";
}

TEST(EmbeddingFolder, TakesTheSmallestWindow) {
  const Export folder;
  folder.write("tokenizer_config.json", R"({"model_max_length": 1e30})");
  EXPECT_EQ(folder.config().context_tokens, 512U);
  folder.write("sentence_bert_config.json", R"({"max_seq_length": 256})");
  EXPECT_EQ(folder.config().context_tokens, 256U);
  folder.write("tokenizer_config.json", R"({"model_max_length": 128})");
  EXPECT_EQ(folder.config().context_tokens, 128U);
}

TEST(EmbeddingFolder, LeavesOutThePositionsThatRobertaCannotUse) {
  const Export folder(
      R"({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1})");
  EXPECT_EQ(folder.config().context_tokens, 512U);
}

TEST(EmbeddingFolder, WithoutConfigNamesTheMissingFile) {
  const Export folder("");
  const auto read = read_embedding_folder(folder.path());
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("config.json"));
}

TEST(PoolingConfig, ReadsEachMode) {
  const auto mode = [](const char* key) {
    return parse_pooling_config("{\"" + std::string(key) + "\": true}", "config.json")->pooling;
  };
  EXPECT_EQ(mode("pooling_mode_mean_tokens"), Pooling::kMean);
  EXPECT_EQ(mode("pooling_mode_lasttoken"), Pooling::kLast);
  EXPECT_EQ(mode("pooling_mode_cls_token"), Pooling::kCls);
  EXPECT_EQ(mode("pooling_mode_max_tokens"), std::nullopt);
}

TEST(PoolingConfig, OfSeveralModesIsNoneThatWeHave) {
  const auto config = parse_pooling_config(
      R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})", "config.json");
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->pooling);
}

TEST(PoolingConfig, RefusesWhatIsNone) {
  EXPECT_THAT(pooling_error("[]"), HasSubstr("config.json"));
  EXPECT_THAT(pooling_error("{}"), HasSubstr("no pooling mode"));
  EXPECT_THAT(pooling_error(R"({"pooling_mode_cls_token": 1})"), HasSubstr("pooling_mode_cls"));
  EXPECT_THAT(pooling_error(R"({"word_embedding_dimension": -1})"), HasSubstr("word_embedding"));
}

TEST(EmbeddingModules, StayInTheirFolder) {
  for (const char* path : {"../x", "/etc", "", "..", "a/b"}) {
    const auto modules = parse_embedding_modules(
        R"([{"type": "Pooling", "path": ")" + std::string(path) + "\"}]", "modules.json");
    EXPECT_FALSE(modules) << path;
  }
}

}  // namespace
}  // namespace onnxlocal
