#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "model/model_config.h"

namespace onnxlocal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// As onnxruntime-genai's model builder writes it, shortened.
constexpr const char* kBuilderConfig = R"({
  "model": {
    "bos_token_id": 151643, "context_length": 32768,
    "decoder": {
      "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
      "filename": "decoder.onnx", "head_size": 64, "hidden_size": 896,
      "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask",
                 "past_key_names": "past_key_values.%d.key",
                 "past_value_names": "past_key_values.%d.value"},
      "outputs": {"logits": "logits", "present_key_names": "present.%d.key",
                  "present_value_names": "present.%d.value"},
      "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2
    },
    "eos_token_id": [151645, 151643], "pad_token_id": 151643, "type": "qwen2",
    "vocab_size": 151936
  },
  "search": {"do_sample": true, "past_present_share_buffer": true, "top_k": 20}
})";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const auto place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return text.replace(place, from.size(), to);
}

std::string error_of(std::string_view json) {
  const auto config = parse_genai_config(json, "m/genai_config.json");
  return config ? "no error" : config.error().message;
}

TEST(GenaiConfig, TakesItsSamplingWhereItSamples) {
  const auto config = parse_genai_config(
      replaced(kBuilderConfig, R"("top_k": 20)", R"("temperature": 0.6, "top_k": 20)"), "x");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->sampling, (SamplingDefaults{.temperature = 0.6F, .top_k = 20}));
}

TEST(GenaiConfig, GreedySearchSaysNothingOfSampling) {
  const auto config = parse_genai_config(
      replaced(kBuilderConfig, R"("do_sample": true)", R"("do_sample": false)"), "x");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->sampling, SamplingDefaults{});
}

TEST(GenaiConfig, RefusesATemperatureOutOfRange) {
  EXPECT_THAT(error_of(replaced(kBuilderConfig, R"("top_k": 20)", R"("temperature": 9)")),
              HasSubstr("`search.temperature`: expected a number from 0 to 2, found 9"));
}

TEST(GenaiConfig, ReadsWhatTheModelBuilderWrites) {
  const auto config = parse_genai_config(kBuilderConfig, "x");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->architecture, "qwen2");
  EXPECT_EQ(config->context_tokens, 32768U);
  EXPECT_EQ(config->vocabulary_size, 151936U);
  EXPECT_EQ(config->layers, 24U);
  EXPECT_EQ(config->attention_heads, 14U);
  EXPECT_EQ(config->kv_heads, 2U);
  EXPECT_EQ(config->head_dim, 64U);
  EXPECT_EQ(config->hidden_size, 896U);
  EXPECT_EQ(config->model_file, "decoder.onnx");
  EXPECT_THAT(config->eos_tokens, ElementsAre(151645, 151643));
  EXPECT_EQ(config->bos_token, 151643);
  EXPECT_TRUE(config->shares_past_present);
}

TEST(GenaiConfig, TakesOneEndTokenOrNone) {
  const auto one = parse_genai_config(replaced(kBuilderConfig, "[151645, 151643]", "151645"), "x");
  ASSERT_TRUE(one);
  EXPECT_THAT(one->eos_tokens, ElementsAre(151645));
  const auto none = parse_genai_config(replaced(kBuilderConfig, "[151645, 151643]", "null"), "x");
  ASSERT_TRUE(none);
  EXPECT_THAT(none->eos_tokens, IsEmpty());
}

TEST(GenaiConfig, BuffersAreNotSharedUnlessItSaysSo) {
  const auto config = parse_genai_config(
      replaced(kBuilderConfig, "\"past_present_share_buffer\": true, ", ""), "x");
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->shares_past_present);
}

TEST(GenaiConfig, WritesWhatItReads) {
  ModelConfig config;
  config.architecture = "llama";
  config.context_tokens = 8192;
  config.vocabulary_size = 49152;
  config.layers = 30;
  config.attention_heads = 9;
  config.kv_heads = 3;
  config.head_dim = 64;
  config.hidden_size = 576;
  config.bos_token = 1;
  config.eos_tokens = {2, 0};
  config.pad_token = 2;
  const auto back = parse_genai_config(to_genai_config(config), "x");
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(back->architecture, config.architecture);
  EXPECT_EQ(back->eos_tokens, config.eos_tokens);
  EXPECT_EQ(back->bos_token, config.bos_token);
  EXPECT_EQ(back->pad_token, config.pad_token);
  EXPECT_EQ(back->hidden_size, config.hidden_size);
  EXPECT_EQ(back->names.present_value, config.names.present_value);
  EXPECT_TRUE(back->shares_past_present);
}

TEST(GenaiConfig, ErrorsNameTheFileAndTheField) {
  EXPECT_THAT(error_of("{"), HasSubstr("m/genai_config.json: not valid JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("expected a JSON object, found an array"));
  EXPECT_THAT(error_of("{}"), HasSubstr("`model` is missing"));
  EXPECT_THAT(error_of(replaced(kBuilderConfig, "\"head_size\": 64", "\"head_size\": \"64\"")),
              HasSubstr("`model.decoder.head_size`: expected an integer from 1 to 8192, found a"));
  EXPECT_THAT(error_of(replaced(kBuilderConfig, "\"head_size\": 64", "\"head_size\": -1")),
              HasSubstr("found -1"));
  EXPECT_THAT(error_of(replaced(kBuilderConfig, "\"head_size\": 64", "\"head_size\": 1e300")),
              HasSubstr("`model.decoder.head_size`"));
  EXPECT_THAT(error_of(replaced(kBuilderConfig, "\"num_key_value_heads\": 2",
                                "\"num_key_value_heads\": 3")),
              HasSubstr("14 attention heads do not divide evenly among 3"));
}

TEST(GenaiConfig, RefusesAModelFileOutsideTheFolder) {
  for (const auto* path : {"../other/model.onnx", "/etc/passwd", "a/../../b.onnx", ""}) {
    EXPECT_THAT(error_of(replaced(kBuilderConfig, "decoder.onnx", path)),
                HasSubstr("expected a file inside the model's folder"))
        << path;
  }
}

TEST(GenaiConfig, RefusesNamesWithoutALayer) {
  EXPECT_THAT(error_of(replaced(kBuilderConfig, "present.%d.key", "present.key")),
              HasSubstr("expected exactly one %d"));
  EXPECT_THAT(error_of(replaced(kBuilderConfig, "present.%d.key", "present.%d.%s")),
              HasSubstr("expected exactly one %d"));
}

TEST(GenaiConfig, SaysThatOtherKindsOfModelsAreNotSupported) {
  const auto vision =
      parse_genai_config(replaced(kBuilderConfig, "\"type\"", "\"vision\": {}, \"type\""), "x");
  ASSERT_FALSE(vision);
  EXPECT_EQ(vision.error().code, ErrorCode::kUnsupported);
  const auto pipeline = parse_genai_config(
      replaced(kBuilderConfig, "\"head_size\"", "\"pipeline\": [], \"head_size\""), "x");
  ASSERT_FALSE(pipeline);
  EXPECT_EQ(pipeline.error().code, ErrorCode::kUnsupported);
}

TEST(GenaiConfig, LayerNamesHaveTheirNumber) {
  EXPECT_EQ(layer_name("present.%d.key", 12), "present.12.key");
}

}  // namespace
}  // namespace onnxlocal
