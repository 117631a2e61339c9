// Imports tiny random models and runs the folder on ONNX Runtime, against a plain reference in
// double precision that reads the GGUF file itself. MatMulNBits is set to float32 activations here,
// so that what is compared is the importer's values and graph; int8 activations are measured by
// perplexity.

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "import/import_gguf.h"
#include "model/model_config.h"
#include "model/onnx_file.h"
#include "model/test_folder.h"
#include "reference_forward.h"
#include "tiny_gguf.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using test::TinyModel;

const std::vector<TokenId> kTokens = {5, 99, 17, 64, 3, 3, 120, 41, 8, 77, 2, 30};

void use_float_activations(onnx::ModelProto& model) {
  for (auto& node : *model.mutable_graph()->mutable_node()) {
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.name() == "accuracy_level") attribute.set_i(1);
    }
  }
}

/// The imported model with its keys and values, fed a few tokens at a time.
class Session {
 public:
  Session(const std::filesystem::path& folder, const ModelConfig& config)
      : config_(config), session_(environment_, (folder / "float.onnx").c_str(), options()) {
    for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
      for (const auto& name : {config.names.past_key, config.names.past_value}) {
        input_names_.push_back(layer_name(name, layer));
      }
      for (const auto& name : {config.names.present_key, config.names.present_value}) {
        output_names_.push_back(layer_name(name, layer));
      }
    }
    for (std::size_t i = 0; i < input_names_.size(); ++i) past_.push_back(empty_past());
  }

  /// Logits after each of the tokens.
  std::vector<float> run(std::span<const TokenId> tokens) {
    std::vector<std::int64_t> ids(tokens.begin(), tokens.end());
    std::vector<std::int64_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), 0);
    length_ += tokens.size();
    std::vector<std::int64_t> mask(length_, 1);
    std::vector<Ort::Value> inputs;
    std::vector<const char*> names = {"input_ids", "attention_mask", "logits_positions"};
    inputs.push_back(tensor(ids, {1, static_cast<std::int64_t>(ids.size())}));
    inputs.push_back(tensor(mask, {1, static_cast<std::int64_t>(mask.size())}));
    inputs.push_back(tensor(positions, {static_cast<std::int64_t>(positions.size())}));
    for (auto& value : past_) inputs.push_back(std::move(value));
    for (const auto& name : input_names_) names.push_back(name.c_str());
    std::vector<const char*> wanted = {"logits"};
    for (const auto& name : output_names_) wanted.push_back(name.c_str());
    auto outputs = session_.Run(Ort::RunOptions(), names.data(), inputs.data(), inputs.size(),
                                wanted.data(), wanted.size());
    const auto* logits = outputs[0].GetTensorData<float>();
    const auto count = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();
    past_.assign(std::make_move_iterator(outputs.begin() + 1),
                 std::make_move_iterator(outputs.end()));
    return {logits, logits + count};
  }

 private:
  static Ort::SessionOptions options() {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
    return options;
  }
  Ort::Value tensor(std::vector<std::int64_t>& values, std::vector<std::int64_t> shape) const {
    return Ort::Value::CreateTensor<std::int64_t>(memory_, values.data(), values.size(),
                                                  shape.data(), shape.size());
  }
  Ort::Value empty_past() {
    const std::vector<std::int64_t> shape = {1, config_.kv_heads, 0, config_.head_dim};
    Ort::AllocatorWithDefaultOptions allocator;
    return Ort::Value::CreateTensor<float>(allocator, shape.data(), shape.size());
  }

  ModelConfig config_;
  Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR, "tiny_model_test"};
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::Session session_;
  std::vector<std::string> input_names_;
  std::vector<std::string> output_names_;
  std::vector<Ort::Value> past_;
  std::size_t length_ = 0;
};

/// Imports the model and compares all logits: the prompt in one piece, then token by token.
void expect_parity(const TinyModel& model) {
  const TestFolder folder;
  const auto file = folder.path() / "tiny.gguf";
  ASSERT_TRUE(test::tiny_gguf(model).write(file));
  const auto target = folder.path() / "model";
  const auto manifest = import_gguf(file, target, {.name = "tiny", .licence = ""});
  ASSERT_TRUE(manifest) << describe(manifest.error());
  const auto read = read_model_folder(target);
  ASSERT_TRUE(read);
  onnx::ModelProto graph;
  ASSERT_TRUE(read_onnx_file(read->model_file(), graph));
  use_float_activations(graph);
  ASSERT_TRUE(write_onnx_file(target / "float.onnx", graph));
  const auto gguf = GgufFile::open(file);
  ASSERT_TRUE(gguf);
  const auto expected = test::reference_logits(*gguf, kTokens);

  Session session(target, read->config);
  constexpr std::size_t kPrompt = 7;
  auto found = session.run(std::span(kTokens).first(kPrompt));
  for (std::size_t i = kPrompt; i < kTokens.size(); ++i) {
    const auto more = session.run(std::span(kTokens).subspan(i, 1));
    found.insert(found.end(), more.begin(), more.end());
  }
  ASSERT_EQ(found.size(), expected.size());
  double most = 0;
  for (const double logit : expected) most = std::max(most, std::abs(logit));
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], 1e-4 * most)
        << "token " << i / model.vocabulary << ", logit " << i % model.vocabulary;
  }
}

struct Case {
  std::string architecture;
  GgmlType type;
};

class TinyModelParity : public testing::TestWithParam<Case> {};

TEST_P(TinyModelParity, LogitsEqualTheReference) {
  const auto& [architecture, type] = GetParam();
  const bool is_qwen = architecture == "qwen2";
  expect_parity({.architecture = architecture,
                 .type = type,
                 .table_type = type,
                 .is_tied = !is_qwen,
                 .has_biases = is_qwen});
}

INSTANTIATE_TEST_SUITE_P(
    All, TinyModelParity,
    testing::Values(Case{"llama", GgmlType::kF32}, Case{"llama", GgmlType::kF16},
                    Case{"llama", GgmlType::kBf16}, Case{"llama", GgmlType::kQ8_0},
                    Case{"llama", GgmlType::kQ4_0}, Case{"llama", GgmlType::kQ4_1},
                    Case{"qwen2", GgmlType::kF32}, Case{"qwen2", GgmlType::kF16},
                    Case{"qwen2", GgmlType::kBf16}, Case{"qwen2", GgmlType::kQ8_0},
                    Case{"qwen2", GgmlType::kQ4_0}, Case{"qwen2", GgmlType::kQ4_1}),
    [](const auto& test) {
      return test.param.architecture + "_" + std::string(to_string(test.param.type));
    });

TEST(TinyModel, QwenTiedAndLlamaWithBiasesToo) {
  expect_parity({.architecture = "qwen2", .is_tied = true, .has_biases = false});
  expect_parity({.architecture = "llama", .is_tied = false, .has_biases = true});
}

TEST(TinyModel, OneKeyValueHeadServesAll) { expect_parity({.heads = 4, .kv_heads = 1}); }

TEST(TinyModel, MatricesOfSeveralTypesStayApart) {
  expect_parity({.type = GgmlType::kQ4_0, .has_biases = true, .value_type = GgmlType::kQ8_0});
}

TEST(TinyModel, ASlidingWindowHidesWhatIsOlder) {
  expect_parity({.numbers = {{"llama.attention.sliding_window", 5}}});
}

}  // namespace
}  // namespace onnxlocal
