// Over tests/data/tiny_embedding: the byte tokenizer with a beginning and an end token, eight
// numbers for each token (make_tiny_embedding.py says which).
#include "provider/local_embedder.h"

#include <cmath>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using testing::HasSubstr;

EmbeddingFolder tiny() {
  return read_embedding_folder(ONNXLOCAL_TEST_DATA "/tiny_embedding").value();
}

RuntimeOptions one_thread() {
  RuntimeOptions runtime;
  runtime.threads = 1;
  return runtime;
}

/// Waits for what becomes of a request.
Result<Embeddings> outcome_of(LocalEmbedder& embedder, EmbeddingRequest request) {
  std::promise<Result<Embeddings>> promise;
  const auto active = embedder.embed(
      std::move(request), [&](Result<Embeddings> made) { promise.set_value(std::move(made)); });
  if (!active) return std::unexpected(active.error());
  return promise.get_future().get();
}

EmbeddingRequest ask(std::vector<RawPrompt> inputs, std::optional<std::uint32_t> dimensions = {}) {
  return {
      .model = "onnx-local/tiny_embedding", .inputs = std::move(inputs), .dimensions = dimensions};
}

class Embedder : public testing::Test {
 protected:
  Embeddings embed(std::vector<RawPrompt> inputs, std::optional<std::uint32_t> dimensions = {}) {
    auto made = outcome_of(embedder, ask(std::move(inputs), dimensions));
    EXPECT_TRUE(made) << describe(made.error());
    return made.value_or(Embeddings{});
  }
  std::string complaint(std::vector<RawPrompt> inputs,
                        std::optional<std::uint32_t> dimensions = {}) {
    const auto made = outcome_of(embedder, ask(std::move(inputs), dimensions));
    if (made) return "it was accepted";
    EXPECT_EQ(made.error().code, ErrorCode::kInvalidRequest);
    return made.error().message;
  }

  LocalEmbedder embedder{{tiny()}, one_thread(), {.request_tokens = 200, .run_tokens = 16}};
};

double length_of(const std::vector<float>& vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * x;
  return std::sqrt(squares);
}

TEST_F(Embedder, GivesTextTheTokensThatStandAroundIt) {
  const RawPrompt tokens = std::vector<TokenId>{257, 'h', 'i', 258};
  const Embeddings outcome = embed({std::string("hi"), tokens});
  ASSERT_EQ(outcome.vectors.size(), 2U);
  EXPECT_EQ(outcome.vectors[0], outcome.vectors[1]);
  EXPECT_EQ(outcome.vectors[0].size(), 8U);
  EXPECT_NEAR(length_of(outcome.vectors[0]), 1, 1e-6);
  EXPECT_EQ(outcome.tokens, 8U);
}

TEST_F(Embedder, GivesEachInputWhatItGetsAlone) {
  std::vector<RawPrompt> inputs;
  for (const std::size_t size : {3U, 40U, 1U, 7U, 7U, 12U, 2U}) {
    inputs.emplace_back(std::string(size, static_cast<char>('a' + inputs.size())));
  }
  const Embeddings together = embed(inputs);
  ASSERT_EQ(together.vectors.size(), inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Embeddings alone = embed({inputs[i]});
    ASSERT_EQ(alone.vectors.size(), 1U);
    for (std::size_t j = 0; j < 8; ++j) {
      EXPECT_NEAR(together.vectors[i][j], alone.vectors[0][j], 1e-6) << i;
    }
  }
}

TEST_F(Embedder, CutsVectorsToTheDimensionsAsked) {
  const Embeddings whole = embed({std::string("hello")});
  const Embeddings part = embed({std::string("hello")}, 3);
  ASSERT_EQ(part.vectors.size(), 1U);
  ASSERT_EQ(part.vectors[0].size(), 3U);
  EXPECT_NEAR(length_of(part.vectors[0]), 1, 1e-6);
  EXPECT_NEAR(part.vectors[0][0] / part.vectors[0][1], whole.vectors[0][0] / whole.vectors[0][1],
              1e-5);
  EXPECT_THAT(complaint({std::string("x")}, 9), HasSubstr("dimensions: Input should be at most 8"));
}

TEST_F(Embedder, RefusesWhatTheModelCannotTake) {
  EXPECT_THAT(complaint({std::string("ok"), std::string(63, 'x')}),
              HasSubstr("input.1: it has 65 tokens, tiny_embedding takes at most 64"));
  EXPECT_THAT(complaint({std::vector<TokenId>{1, 259}}), HasSubstr("input.0: it has a token"));
  EXPECT_THAT(complaint(std::vector<RawPrompt>(4, std::string(50, 'x'))),
              HasSubstr("more than 200 tokens in all"));
}

TEST_F(Embedder, ListsItsModels) {
  const auto models = embedder.models();
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].id, "onnx-local/tiny_embedding");
  EXPECT_EQ(models[0].dimensions, 8U);
  EXPECT_EQ(models[0].context_tokens, 64U);
}

TEST_F(Embedder, KnowsNoOtherModel) {
  EmbeddingRequest request = ask({std::string("x")});
  request.model = "other";
  EXPECT_EQ(outcome_of(embedder, std::move(request)).error().code, ErrorCode::kNotFound);
}

TEST_F(Embedder, RefusesOnceItIsShutDown) {
  embedder.shut_down();
  EXPECT_EQ(outcome_of(embedder, ask({std::string("x")})).error().code, ErrorCode::kUnavailable);
}

TEST_F(Embedder, LeavesOutARequestWhoseClientLeft) {
  std::promise<void> is_held;
  std::promise<void> may_go_on;
  const auto first = embedder.embed(ask({std::string("x")}), [&](const auto&) {
    is_held.set_value();
    may_go_on.get_future().wait();
  });
  is_held.get_future().wait();
  std::promise<Result<Embeddings>> outcome;
  auto second = embedder.embed(ask({std::string("x")}), [&](Result<Embeddings> made) {
    outcome.set_value(std::move(made));
  });
  ASSERT_TRUE(second);
  second->cancel();
  may_go_on.set_value();
  const auto made = outcome.get_future().get();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kCancelled);
}

TEST(EmbedderModels, AreReplacedWhereThereIsRoomForOne) {
  EmbeddingFolder other = tiny();
  other.name = "other";
  LocalEmbedder embedder({tiny(), other}, one_thread(), {.models_loaded = 1});
  for (const char* model : {"onnx-local/tiny_embedding", "onnx-local/other", "onnx-local/other"}) {
    EmbeddingRequest request = ask({std::string("x")});
    request.model = model;
    EXPECT_TRUE(outcome_of(embedder, std::move(request))) << model;
  }
}

TEST(EmbedderModels, ThatAreBrokenSayWhy) {
  EmbeddingFolder broken = tiny();
  broken.path = "/nowhere";
  LocalEmbedder embedder({broken}, one_thread());
  const auto made = outcome_of(embedder, ask({std::string("x")}));
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("tokenizer.json"));
}

}  // namespace
}  // namespace onnxlocal
