#include "inspect/perplexity.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inspect/test_decoder.h"

namespace onnxlocal {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

/// 0 1 2 .. 7 0 1 ..: each token is followed by the one that the decoder finds most likely.
std::vector<TokenId> counting_text(std::size_t size) {
  std::vector<TokenId> tokens(size);
  for (std::size_t i = 0; i < size; ++i) {
    tokens[i] = static_cast<TokenId>(i % CountingDecoder::kVocabulary);
  }
  return tokens;
}

TEST(Perplexity, IsTheVocabularySizeWhenNothingIsKnown) {
  CountingDecoder decoder(1, 64, 64);
  const auto result = measure_perplexity(decoder, counting_text(64), {.context_tokens = 16});
  ASSERT_TRUE(result);
  EXPECT_NEAR(result->perplexity, CountingDecoder::kVocabulary, 1e-6);
  EXPECT_NEAR(result->deviation, 0, 1e-6);
}

TEST(Perplexity, FollowsTheProbabilityOfTheNextToken) {
  CountingDecoder decoder(1, 64, 64);
  decoder.margin = 2;
  const auto result = measure_perplexity(decoder, counting_text(64), {.context_tokens = 16});
  ASSERT_TRUE(result);
  EXPECT_NEAR(result->perplexity, (std::exp(2.0) + 7) / std::exp(2.0), 1e-5);
}

TEST(Perplexity, ScoresTheSecondHalfOfWholeChunksWithoutTheLastPosition) {
  CountingDecoder decoder(1, 64, 64);
  decoder.margin = 1;
  const auto result =
      measure_perplexity(decoder, counting_text(16 * 3 + 5), {.context_tokens = 16});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->chunks, 3U);
  EXPECT_EQ(result->scored_tokens, 3U * 7U);
  ASSERT_THAT(result->top_tokens, SizeIs(21));
  // Position 8 holds token 0, so the first scored one is followed by 1.
  EXPECT_EQ(result->top_tokens[0], 1);
  EXPECT_EQ(decoder.rows, 21U);
  EXPECT_EQ(decoder.length(SlotId{0}), 0U);
}

TEST(Perplexity, IsTheSameHoweverTheChunkIsCutIntoSteps) {
  CountingDecoder wide(1, 64, 64);
  CountingDecoder narrow(1, 64, 3);
  wide.margin = narrow.margin = 1;
  const auto text = counting_text(80);
  const auto expected = measure_perplexity(wide, text, {.context_tokens = 20});
  const auto found = measure_perplexity(narrow, text, {.context_tokens = 20});
  ASSERT_TRUE(expected && found);
  EXPECT_EQ(found->top_tokens, expected->top_tokens);
  EXPECT_DOUBLE_EQ(found->perplexity, expected->perplexity);
}

TEST(Perplexity, BeginsEachChunkWithTheBeginningTokenWhereTheModelHasOne) {
  CountingDecoder decoder(1, 64, 64);
  const auto result =
      measure_perplexity(decoder, counting_text(64), {.context_tokens = 16, .bos_token = 5});
  ASSERT_TRUE(result);
  EXPECT_THAT(decoder.first_tokens, SizeIs(result->chunks));
  EXPECT_THAT(decoder.first_tokens, Each(5));
}

TEST(Perplexity, RefusesATextThatIsTooShort) {
  CountingDecoder decoder(1, 64, 64);
  const auto result = measure_perplexity(decoder, counting_text(31), {.context_tokens = 16});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("31 tokens"));
}

TEST(Perplexity, RefusesChunksThatDoNotFitAndTokensThatDoNotExist) {
  CountingDecoder decoder(1, 16, 16);
  EXPECT_FALSE(measure_perplexity(decoder, counting_text(64), {.context_tokens = 32}));
  const std::vector<TokenId> strange(64, 99);
  EXPECT_FALSE(measure_perplexity(decoder, strange, {.context_tokens = 16}));
}

TEST(Perplexity, CanBeCancelled) {
  CountingDecoder decoder(1, 64, 64);
  std::stop_source stop;
  const auto result =
      measure_perplexity(decoder, counting_text(64), {.context_tokens = 16}, stop.get_token(),
                         [&](auto, auto, auto) { stop.request_stop(); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
}

TEST(PerplexityReference, IsComparedPositionByPosition) {
  const auto reference = parse_perplexity_reference(
      R"({"perplexity": 10.0, "context_tokens": 16, "top_tokens": [1, 2, 3, 4]})", "r.json");
  ASSERT_TRUE(reference);
  PerplexityResult result;
  result.perplexity = 10.5;
  result.context_tokens = 16;
  result.top_tokens = {1, 2, 9, 4};
  const auto comparison = compare_perplexity(result, *reference);
  ASSERT_TRUE(comparison);
  ASSERT_TRUE(comparison->perplexity_ratio);
  EXPECT_DOUBLE_EQ(*comparison->perplexity_ratio, 1.05);
  EXPECT_DOUBLE_EQ(comparison->top_token_agreement, 0.75);
  result.top_tokens = {1, 2, 9};
  EXPECT_FALSE(compare_perplexity(result, *reference)->perplexity_ratio);
  result.context_tokens = 32;
  EXPECT_FALSE(compare_perplexity(result, *reference));
}

TEST(PerplexityReference, RefusesWhatIsNone) {
  for (const auto* text :
       {"", "[]", "{}", R"({"perplexity": 0, "context_tokens": 16, "top_tokens": []})",
        R"({"perplexity": 1, "context_tokens": -1, "top_tokens": []})",
        R"({"perplexity": 1, "context_tokens": 16, "top_tokens": ["a"]})",
        R"({"perplexity": 1, "context_tokens": 16, "top_tokens": [-1]})"}) {
    const auto reference = parse_perplexity_reference(text, "r.json");
    ASSERT_FALSE(reference) << text;
    EXPECT_THAT(reference.error().message, HasSubstr("r.json")) << text;
  }
}

TEST(PerplexityText, LosesOneLastLineBreak) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("onnxlocal-text-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "text") << "a\n\n";
  EXPECT_EQ(read_perplexity_text(folder / "text").value(), "a\n");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace onnxlocal
