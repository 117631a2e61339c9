#include "model/exported_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <string>
#include <variant>
#include <vector>

namespace onnxlocal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Dims = std::vector<std::variant<std::int64_t, std::string>>;

void set_value(onnx::ValueInfoProto* value, const std::string& name, const Dims& dims) {
  value->set_name(name);
  auto* shape = value->mutable_type()->mutable_tensor_type()->mutable_shape();
  for (const auto& dim : dims) {
    if (const auto* size = std::get_if<std::int64_t>(&dim)) {
      shape->add_dim()->set_dim_value(*size);
    } else {
      shape->add_dim()->set_dim_param(std::get<std::string>(dim));
    }
  }
}

/// The inputs and outputs of an optimum export with two layers.
onnx::ModelProto optimum_model(std::int64_t kv_heads = 3) {
  onnx::ModelProto model;
  auto* graph = model.mutable_graph();
  for (const auto* name : {"input_ids", "attention_mask", "position_ids"}) {
    set_value(graph->add_input(), name, {"batch_size", "sequence_length"});
  }
  set_value(graph->add_output(), "logits", {"batch_size", "sequence_length", std::int64_t{1000}});
  for (const auto* layer : {"0", "1"}) {
    for (const auto* part : {"key", "value"}) {
      const Dims dims = {"batch_size", kv_heads, "past_sequence_length", std::int64_t{16}};
      const auto suffix = std::string(layer) + "." + part;
      set_value(graph->add_input(), "past_key_values." + suffix, dims);
      set_value(graph->add_output(), "present." + suffix, dims);
    }
  }
  return model;
}

constexpr const char* kGpt2Config = R"({"model_type": "gpt2", "n_embd": 48, "n_head": 3,
  "n_positions": 1024, "vocab_size": 999, "bos_token_id": 50256, "eos_token_id": 50256})";

TEST(ExportedGraph, GivesNamesAndShape) {
  const auto config = config_of_exported_graph(optimum_model(), kGpt2Config, "config.json");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->architecture, "gpt2");
  EXPECT_EQ(config->layers, 2U);
  EXPECT_EQ(config->kv_heads, 3U);
  EXPECT_EQ(config->attention_heads, 3U);
  EXPECT_EQ(config->head_dim, 16U);
  EXPECT_EQ(config->hidden_size, 48U);
  EXPECT_EQ(config->vocabulary_size, 1000U) << "the graph knows better than config.json";
  EXPECT_EQ(config->context_tokens, 1024U);
  EXPECT_EQ(config->names.past_key, "past_key_values.%d.key");
  EXPECT_EQ(config->names.present_value, "present.%d.value");
  EXPECT_THAT(config->eos_tokens, ElementsAre(50256));
  EXPECT_FALSE(config->shares_past_present);
}

TEST(ExportedGraph, SharesBuffersWhereAttentionCanUseThem) {
  auto model = optimum_model();
  model.mutable_graph()->add_node()->set_op_type("GroupQueryAttention");
  const auto config = config_of_exported_graph(model, kGpt2Config, "config.json");
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->shares_past_present);
}

TEST(ExportedGraph, WithoutPastKeysIsNotSupported) {
  onnx::ModelProto model;
  set_value(model.mutable_graph()->add_input(), "input_ids", {});
  const auto config = config_of_exported_graph(model, kGpt2Config, "config.json");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(config.error().message, HasSubstr("not a decoder with past keys and values"));
}

TEST(ExportedGraph, WithAGapInItsLayersIsRefused) {
  auto model = optimum_model();
  for (auto& input : *model.mutable_graph()->mutable_input()) {
    if (input.name() == "past_key_values.1.key") input.set_name("past_key_values.7.key");
  }
  EXPECT_FALSE(config_of_exported_graph(model, kGpt2Config, "config.json"));
}

TEST(ExportedGraph, ThatDoesNotSayItsHeadsNeedsTheJson) {
  auto model = optimum_model();
  for (auto& input : *model.mutable_graph()->mutable_input()) {
    if (input.name() != "past_key_values.0.key") continue;
    input.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(1)->set_dim_param(
        "h");
  }
  const auto from_json = config_of_exported_graph(model, kGpt2Config, "config.json");
  ASSERT_TRUE(from_json);
  EXPECT_EQ(from_json->kv_heads, 3U);
  const auto neither =
      config_of_exported_graph(model, R"({"max_position_embeddings": 8})", "config.json");
  ASSERT_FALSE(neither);
  EXPECT_THAT(neither.error().message, HasSubstr("`num_key_value_heads` is missing"));
}

TEST(ExportedGraph, GenerationConfigNamesTheEndTokens) {
  ModelConfig config;
  config.eos_tokens = {1};
  ASSERT_TRUE(apply_generation_config(R"({"eos_token_id": [7, 8]})", "g.json", config));
  EXPECT_THAT(config.eos_tokens, ElementsAre(7, 8));
  ASSERT_TRUE(apply_generation_config("{}", "g.json", config));
  EXPECT_THAT(config.eos_tokens, ElementsAre(7, 8));
  EXPECT_FALSE(apply_generation_config(R"({"eos_token_id": ["x"]})", "g.json", config));
}

}  // namespace
}  // namespace onnxlocal
