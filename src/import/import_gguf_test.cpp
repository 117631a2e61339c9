#include "import/import_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>

#include "base/file_system.h"
#include "model/model_config.h"
#include "model/onnx_file.h"
#include "model/test_folder.h"
#include "tiny_gguf.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using test::TinyModel;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

Result<Manifest> import_tiny(const TestFolder& folder, const TinyModel& model,
                             std::stop_token stop = {}) {
  const auto file = folder.path() / "tiny.gguf";
  if (auto written = test::tiny_gguf(model).write(file); !written) {
    return std::unexpected(written.error());
  }
  return import_gguf(file, folder.path() / "model", {.name = "tiny", .licence = ""},
                     std::move(stop));
}

Error error_of(const TinyModel& model) {
  const TestFolder folder;
  const auto manifest = import_tiny(folder, model);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "model"));
  return manifest ? Error{ErrorCode::kInternal, "no error", ""} : manifest.error();
}

std::map<std::string, int> count_operators(const onnx::ModelProto& model) {
  std::map<std::string, int> counts;
  for (const auto& node : model.graph().node()) ++counts[node.op_type()];
  return counts;
}

TEST(ImportGguf, MakesAWholeModelFolder) {
  const TestFolder folder;
  const auto manifest = import_tiny(folder, {.type = GgmlType::kQ4_0});
  ASSERT_TRUE(manifest) << describe(manifest.error());
  EXPECT_EQ(manifest->source, "tiny.gguf");
  EXPECT_EQ(manifest->licence, "apache-2.0");
  EXPECT_EQ(manifest->quantization, "Q4_0");
  EXPECT_TRUE(verify_files(folder.path() / "model", *manifest, true));
  const auto text = read_text_file(folder.path() / "model" / "manifest.json", 1U << 20U);
  ASSERT_TRUE(text);
  const auto stored = parse_manifest(*text, "manifest.json");
  ASSERT_TRUE(stored) << describe(stored.error());
  EXPECT_EQ(stored->files, manifest->files);

  const auto model = read_model_folder(folder.path() / "model");
  ASSERT_TRUE(model) << describe(model.error());
  EXPECT_EQ(model->config.architecture, "llama");
  EXPECT_EQ(model->config.layers, 2U);
  EXPECT_EQ(model->config.kv_heads, 2U);
  EXPECT_EQ(model->config.head_dim, 16U);
  EXPECT_EQ(model->config.vocabulary_size, 128U);
  EXPECT_THAT(model->config.eos_tokens, Contains(2));
  const auto chat = read_chat_template(folder.path() / "model");
  ASSERT_TRUE(chat);
  EXPECT_THAT(chat->source, HasSubstr("messages"));
  EXPECT_EQ(chat->eos_token, "<|im_end|>");
}

TEST(ImportGguf, MakesAGraphWithSoundData) {
  const TestFolder folder;
  ASSERT_TRUE(import_tiny(folder, {.type = GgmlType::kQ4_1, .table_type = GgmlType::kQ8_0}));
  onnx::ModelProto model;
  ASSERT_TRUE(read_onnx_file(folder.path() / "model" / "model.onnx", model));
  EXPECT_TRUE(check_external_data(model, folder.path() / "model"));
  const auto counts = count_operators(model);
  EXPECT_EQ(counts.at("GroupQueryAttention"), 2);
  EXPECT_EQ(counts.at("MatMulNBits"), 2 * 5 + 1) << "queries, keys and values are one product";
  EXPECT_EQ(counts.at("GatherBlockQuantized"), 1);
  EXPECT_EQ(counts.at("SkipSimplifiedLayerNormalization"), 4);
  EXPECT_EQ(counts.at("SimplifiedLayerNormalization"), 1);
}

TEST(ImportGguf, AddsBiasesOfQwen2) {
  const TestFolder folder;
  ASSERT_TRUE(import_tiny(folder, {.architecture = "qwen2", .has_biases = true}));
  onnx::ModelProto model;
  ASSERT_TRUE(read_onnx_file(folder.path() / "model" / "model.onnx", model));
  EXPECT_EQ(count_operators(model).at("Add"), 2 * 5);
  const auto read = read_model_folder(folder.path() / "model");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->config.architecture, "qwen2");
}

TEST(ImportGguf, ASlidingWindowBecomesAnAttribute) {
  const TestFolder folder;
  ASSERT_TRUE(import_tiny(folder, {.numbers = {{"llama.attention.sliding_window", 16}}}));
  onnx::ModelProto model;
  ASSERT_TRUE(read_onnx_file(folder.path() / "model" / "model.onnx", model));
  std::vector<std::int64_t> windows;
  for (const auto& node : model.graph().node()) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.name() == "local_window_size") windows.push_back(attribute.i());
    }
  }
  EXPECT_THAT(windows, ElementsAre(16, 16));
}

std::uint64_t number_in(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// The values of a table that the graph keeps in its data file.
std::vector<float> table_values(const std::filesystem::path& folder, const onnx::ModelProto& model,
                                std::string_view name) {
  for (const auto& tensor : model.graph().initializer()) {
    if (tensor.name() != name) continue;
    std::map<std::string, std::string> place;
    for (const auto& entry : tensor.external_data()) place[entry.key()] = entry.value();
    std::vector<float> values(number_in(place["length"]) / sizeof(float));
    std::ifstream data(folder / place.at("location"), std::ios::binary);
    data.seekg(static_cast<std::streamoff>(number_in(place["offset"])));
    data.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
    return values;
  }
  return {};
}

TEST(ImportGguf, AChosenWindowReachesTheTablesAndTheConfiguration) {
  const TestFolder folder;
  const auto file = folder.path() / "tiny.gguf";
  ASSERT_TRUE(test::tiny_gguf({}).write(file));
  const auto target = folder.path() / "model";
  const auto manifest = import_gguf(
      file, target,
      {.name = "tiny",
       .context = ContextChoice{.tokens = 256, .scaling = RopeSettings::Scaling::kYarn}});
  ASSERT_TRUE(manifest) << describe(manifest.error());
  ASSERT_TRUE(manifest->context);
  EXPECT_EQ(manifest->context->tokens, 256U);
  EXPECT_EQ(manifest->context->rope_scaling, "yarn");
  EXPECT_DOUBLE_EQ(manifest->context->rope_factor, 4.0);
  EXPECT_EQ(read_model_folder(target)->config.context_tokens, 256U);

  onnx::ModelProto model;
  ASSERT_TRUE(read_onnx_file(target / "model.onnx", model));
  const auto cosines = table_values(target, model, "cos_cache");
  ASSERT_EQ(cosines.size(), 256U * 8U);
  const double magnitude = 1.0 + 0.1 * std::log(4.0);
  EXPECT_NEAR(cosines[0], magnitude, 1e-6);
  // The slowest pair of base 1000 and 16 values a head is interpolated in full.
  const double slowest = std::pow(1000.0, -14.0 / 16.0) / 4.0;
  EXPECT_NEAR(cosines[200 * 8 + 7], std::cos(200 * slowest) * magnitude, 1e-5);
}

TEST(ImportGguf, AWindowThatCannotBeIsRefused) {
  const TestFolder folder;
  const auto file = folder.path() / "tiny.gguf";
  ASSERT_TRUE(test::tiny_gguf({}).write(file));
  const auto refused =
      import_gguf(file, folder.path() / "model", {.name = "tiny", .context = ContextChoice{}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidRequest);
}

TEST(ImportGguf, ReplacesAnEarlierFolder) {
  const TestFolder folder;
  folder.write("model/old.txt", "old");
  ASSERT_TRUE(import_tiny(folder, {}));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "model" / "old.txt"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "model" / "model.onnx"));
}

TEST(ImportGguf, LeavesNothingWhenItIsStopped) {
  const TestFolder folder;
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = import_tiny(folder, {}, stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    left.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(left, ElementsAre("tiny.gguf"));
}

TEST(ImportGguf, ErrorsNameTheFileAndTheArchitecturesWeHave) {
  const auto error = error_of({.architecture = "mamba"});
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("tiny.gguf: model architecture 'mamba'"));
  EXPECT_THAT(error.hint, HasSubstr("llama, qwen2"));
}

TEST(ImportGguf, RefusesTensorsThatAreMissingOrUnknown) {
  EXPECT_THAT(error_of({.left_out = "blk.1.ffn_up.weight"}).message,
              HasSubstr("tensor 'blk.1.ffn_up.weight' is missing (expected shape 64 x 96)"));
  EXPECT_THAT(error_of({.left_out = "token_embd.weight"}).message,
              HasSubstr("'token_embd.weight' is missing"));
  EXPECT_THAT(error_of({.left_out = "output_norm.weight"}).message,
              HasSubstr("'output_norm.weight' is missing"));
  const auto unknown = error_of({.extra = "blk.0.attn_q_norm.weight"});
  EXPECT_EQ(unknown.code, ErrorCode::kUnsupported);
  EXPECT_THAT(unknown.message, HasSubstr("tensor 'blk.0.attn_q_norm.weight' has no place"));
}

TEST(ImportGguf, RefusesSizesThatDoNotFit) {
  EXPECT_THAT(error_of({.numbers = {{"llama.attention.head_count", 0}}}).message,
              HasSubstr("llama.attention.head_count: expected 1 to 4096, found 0"));
  EXPECT_THAT(error_of({.numbers = {{"llama.attention.head_count_kv", 3}}}).message,
              HasSubstr("4 cannot be divided by 3"));
  EXPECT_THAT(error_of({.numbers = {{"llama.attention.head_count", 5},
                                    {"llama.attention.head_count_kv", 5}}})
                  .message,
              HasSubstr("64 cannot be divided by 5"));
  EXPECT_THAT(error_of({.numbers = {{"llama.embedding_length", 128}}}).message,
              HasSubstr("expected shape 128 x 128 (columns first), found 64 x 128"));
  EXPECT_THAT(error_of({.numbers = {{"llama.block_count", 4096}}}).message,
              HasSubstr("'blk.2.attn_norm.weight' is missing"));
  EXPECT_THAT(error_of({.numbers = {{"llama.feed_forward_length", 97}}}).message,
              HasSubstr("expected shape 64 x 97"));
  EXPECT_THAT(error_of({.numbers = {{"llama.context_length", 0}}}).message,
              HasSubstr("llama.context_length"));
}

TEST(ImportGguf, RefusesWhatWeCannotCompute) {
  EXPECT_THAT(error_of({.numbers = {{"llama.expert_count", 8}}}).message,
              HasSubstr("mixtures of experts (8 of them)"));
  EXPECT_THAT(error_of({.numbers = {{"llama.rope.dimension_count", 8}}}).message,
              HasSubstr("8 of the 16 values of a head are rotated"));
  EXPECT_THAT(error_of({.texts = {{"llama.rope.scaling.type", "longrope"}}}).message,
              HasSubstr("llama.rope.scaling.type: 'longrope'"));
  EXPECT_THAT(error_of({.head_dim = 12}).message, HasSubstr("a multiple of 8 is needed"));
}

TEST(ImportGguf, AMissingFileIsNotFound) {
  const TestFolder folder;
  const auto missing = import_gguf(folder.path() / "none.gguf", folder.path() / "model",
                                   {.name = "none", .licence = ""});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace onnxlocal
