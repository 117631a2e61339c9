// Uses libonnxlocal.so as a program would, with a tiny random model (tests/data/tiny_onnx) and the
// byte tokenizer: token i is the byte i.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "onnxlocal/model.h"

namespace onnxlocal::embed {
namespace {

namespace fs = std::filesystem;

class LibraryTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    home = fs::temp_directory_path() / ("onnxlocal_library_test." + std::to_string(::getpid()));
    const fs::path data = ONNXLOCAL_TEST_DATA;
    const fs::path folder = home / "models" / "tiny";
    fs::create_directories(folder);
    for (const auto& entry : fs::directory_iterator(data / "tiny_onnx")) {
      fs::copy_file(entry.path(), folder / entry.path().filename());
    }
    fs::copy_file(data / "byte_tokenizer.json", folder / "tokenizer.json");
    ::setenv("ONNX_LOCAL_HOME", home.c_str(), 1);
    ::unsetenv("ONNX_MODEL_PATH");
    ::unsetenv("ONNX_LOCAL_MODEL");
  }
  static void TearDownTestSuite() { fs::remove_all(home); }

  static Result<Model> tiny() {
    return Model::create({.model = "tiny", .execution_providers = "cpu", .threads = 1});
  }
  static Model ready() {
    auto model = tiny();
    EXPECT_TRUE(model.has_value()) << model.error().message;
    const auto loaded = model->initialize();
    EXPECT_TRUE(loaded.has_value()) << loaded.error().message;
    return *std::move(model);
  }
  static std::vector<TokenId> ids(const Reply& reply) {
    std::vector<TokenId> tokens;
    for (const Token& token : reply.tokens) tokens.push_back(token.token);
    return tokens;
  }

  static inline fs::path home;
};

const GenerateOptions kGreedy{.tokens_max = 12, .temperature = 0};

TEST_F(LibraryTest, LoadsAnswersAndGoesAway) {
  auto model = tiny();
  ASSERT_TRUE(model.has_value()) << model.error().message;
  EXPECT_FALSE(model->is_initialized());
  EXPECT_EQ(model->model_info().name, "tiny");
  EXPECT_EQ(model->model_info().execution_provider, "");
  ASSERT_TRUE(model->initialize());
  EXPECT_TRUE(model->is_initialized());
  EXPECT_TRUE(model->initialize());
  const ModelInfo info = model->model_info();
  EXPECT_EQ(info.execution_provider, "cpu");
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.context_tokens, 256U);
  EXPECT_EQ(info.vocabulary_size, 259U);
  const auto reply = model->generate({{Role::kUser, "hello"}}, kGreedy);
  ASSERT_TRUE(reply.has_value()) << reply.error().message;
  EXPECT_GT(reply->usage.output_tokens, 0U);
  model->dispose();
  EXPECT_FALSE(model->is_initialized());
  EXPECT_EQ(model->generate({{Role::kUser, "hello"}}).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(model->initialize());
  EXPECT_TRUE(model->generate({{Role::kUser, "hello"}}, kGreedy));
}

TEST_F(LibraryTest, SaysWhatIsWrongWithTheOptions) {
  EXPECT_EQ(Model::create({.model = "no-such-model"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Model::create({.model = "tiny", .parallel_max = 0}).error().code,
            ErrorCode::kInvalidRequest);
  EXPECT_EQ(Model::create({.model = "tiny", .kv_cache_type = "int2"}).error().code,
            ErrorCode::kInvalidRequest);
  Model model = ready();
  const auto reply = model.generate({{Role::kUser, "hello"}}, {.temperature = 3});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kInvalidRequest);
  EXPECT_TRUE(reply.error().message.starts_with("temperature"));
  const std::vector<TokenId> long_prompt(257, 1);
  EXPECT_EQ(model.generate(long_prompt).error().code, ErrorCode::kPromptTooLong);
}

TEST_F(LibraryTest, StreamsTheSameTextThatItReturns) {
  Model model = ready();
  std::string streamed;
  const auto reply = model.generate({{Role::kUser, "hello"}}, kGreedy, [&](std::string_view text) {
    streamed += text;
    return true;
  });
  ASSERT_TRUE(reply);
  EXPECT_EQ(streamed, reply->text);
}

TEST_F(LibraryTest, StopsWhenTheCallbackSaysSo) {
  Model model = ready();
  int calls = 0;
  GenerateOptions options{.tokens_max = 200, .temperature = 2.0F, .seed = 3};
  options.logit_bias = {{257, -100.0F}};  // Never ends by itself.
  const auto reply = model.generate({{Role::kUser, "hello"}}, options, [&](std::string_view) {
    ++calls;
    return false;
  });
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(calls, 1);
}

TEST_F(LibraryTest, KeepsTheTimeLimit) {
  Model model = ready();
  GenerateOptions options{.tokens_max = 250, .time_limit = std::chrono::milliseconds(1)};
  options.logit_bias = {{257, -100.0F}};
  const auto reply = model.generate(std::vector<TokenId>{1, 2, 3}, options);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kTimeout);
  EXPECT_TRUE(is_retryable(reply.error().code));
  EXPECT_STREQ(to_string(reply.error().code), "timeout");
}

TEST_F(LibraryTest, GivesTheSameTokensColdWarmAndInABatch) {
  Model model = ready();
  std::vector<std::vector<Message>> batch;
  for (int i = 0; i < 24; ++i) {
    batch.push_back({{Role::kUser, "A question of some length, number " + std::to_string(i)}});
  }
  std::vector<Reply> alone;
  for (const auto& messages : batch) alone.push_back(*model.generate(messages, kGreedy));
  const auto together = model.generate_batch(batch, kGreedy);
  ASSERT_EQ(together.size(), batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    ASSERT_TRUE(together[i]) << together[i].error().message;
    EXPECT_EQ(ids(*together[i]), ids(alone[i]));
    EXPECT_GT(together[i]->usage.cache_read_tokens, 0U);
  }
}

TEST_F(LibraryTest, RunsABatchThatIsLongerThanTheQueue) {
  auto model = Model::create({.model = "tiny",
                              .execution_providers = "cpu",
                              .threads = 1,
                              .parallel_max = 2,
                              .queue_max = 1});
  ASSERT_TRUE(model && model->initialize());
  const std::vector<std::vector<Message>> batch(12, {{Role::kUser, "hello"}});
  for (const auto& reply : model->generate_batch(batch, kGreedy)) {
    EXPECT_TRUE(reply.has_value()) << reply.error().message;
  }
}

TEST_F(LibraryTest, ContinuesTokensAsTheyAre) {
  Model model = ready();
  const std::vector<Message> messages{{Role::kUser, "hello"}};
  const auto tokens = model.tokenize(messages);
  ASSERT_TRUE(tokens);
  const auto from_tokens = model.generate(*tokens, kGreedy);
  const auto from_messages = model.generate(messages, kGreedy);
  ASSERT_TRUE(from_tokens && from_messages);
  EXPECT_EQ(ids(*from_tokens), ids(*from_messages));
}

TEST_F(LibraryTest, ReportsLogProbabilities) {
  Model model = ready();
  GenerateOptions options = kGreedy;
  options.logprobs = 3;
  const auto reply = model.generate(std::vector<TokenId>{1, 2, 3}, options);
  ASSERT_TRUE(reply);
  ASSERT_FALSE(reply->tokens.empty());
  const Token& first = reply->tokens.front();
  ASSERT_EQ(first.alternatives.size(), 3U);
  EXPECT_EQ(first.alternatives[0].token, first.token);
  EXPECT_LE(first.logprob, 0.0F);
}

TEST_F(LibraryTest, EndsWhatRunsWhenDisposedOf) {
  Model model = ready();
  GenerateOptions options{.tokens_max = 250};
  options.logit_bias = {{257, -100.0F}};
  std::thread other([&] {
    // Round after round, until the model is gone.
    while (true) {
      const auto reply = model.generate(std::vector<TokenId>{1}, options);
      if (reply) continue;
      EXPECT_TRUE(reply.error().code == ErrorCode::kCancelled ||
                  reply.error().code == ErrorCode::kUnavailable);
      return;
    }
  });
  model.dispose();
  other.join();
  EXPECT_FALSE(model.is_initialized());
}

}  // namespace
}  // namespace onnxlocal::embed
