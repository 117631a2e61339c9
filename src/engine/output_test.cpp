// Over the byte tokenizer of tests/data: token i is the byte i, 256 and up are special.
#include "engine/output.h"

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "engine/engine.h"
#include "event_recorder.h"
#include "fake_decoder.h"

namespace onnxlocal {
namespace {

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const auto tokenizer = Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
  EXPECT_TRUE(tokenizer.has_value());
  return tokenizer.value_or(nullptr);
}

std::vector<TokenId> tokens_of(std::string_view text) {
  std::vector<TokenId> tokens;
  for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
  return tokens;
}

struct Outcome {
  std::string text;
  std::vector<TokenId> tokens;
  std::string stop_string;
};

/// Pushes the text's bytes one token each; checks that each piece is whole characters.
Outcome run(std::string_view text, std::vector<std::string> stop_strings) {
  const auto tokenizer = byte_tokenizer();
  Output output(tokenizer.get(), std::move(stop_strings));
  Outcome outcome;
  const auto take = [&](Result<Output::Release> release) {
    ASSERT_TRUE(release.has_value());
    EXPECT_TRUE(is_valid_utf8(release->delta.text));
    outcome.text += release->delta.text;
    for (const auto& report : release->delta.tokens) outcome.tokens.push_back(report.chosen.token);
    if (release->stop_string) outcome.stop_string = *release->stop_string;
  };
  for (const TokenId token : tokens_of(text)) {
    take(output.push({.chosen = {.token = token}, .alternatives = {}}));
    if (!outcome.stop_string.empty()) return outcome;
  }
  take(output.finish());
  return outcome;
}

TEST(Output, GivesTextAndTheTokensItCameFrom) {
  const Outcome outcome = run("héllo 👋", {});
  EXPECT_EQ(outcome.text, "héllo 👋");
  EXPECT_EQ(outcome.tokens, tokens_of("héllo 👋"));
}

TEST(Output, EndsAtAStopStringAndReportsNoTokenOfIt) {
  const Outcome outcome = run("one STOP two", {"STOP"});
  EXPECT_EQ(outcome.text, "one ");
  EXPECT_EQ(outcome.tokens, tokens_of("one "));
  EXPECT_EQ(outcome.stop_string, "STOP");
}

TEST(Output, ReportsHeldTokensOnceTheirTextShows) {
  const Outcome outcome = run("one STO two", {"STOP"});
  EXPECT_EQ(outcome.text, "one STO two");
  EXPECT_EQ(outcome.tokens, tokens_of("one STO two"));
}

TEST(Output, ShowsTheRestOfACharacterThatNeverCame) {
  const Outcome outcome = run("ab\xF0\x9F", {});
  EXPECT_TRUE(outcome.text.starts_with("ab\xEF\xBF\xBD"));
  EXPECT_EQ(outcome.tokens.size(), 4U);
}

TEST(Output, HasNoTextForSpecialTokens) {
  const auto tokenizer = byte_tokenizer();
  Output output(tokenizer.get(), {});
  const auto release = output.push({.chosen = {.token = 257}, .alternatives = {}});
  ASSERT_TRUE(release);
  EXPECT_EQ(release->delta.text, "");
  EXPECT_EQ(release->delta.tokens.size(), 1U);
}

/// `tokens` with 257 visible.
std::string text_with_visible_257(const std::vector<TokenId>& tokens) {
  const auto tokenizer = byte_tokenizer();
  Output output(tokenizer.get(), {}, {257});
  std::string text;
  for (const TokenId token : tokens) {
    const auto release = output.push({.chosen = {.token = token}, .alternatives = {}});
    EXPECT_TRUE(release.has_value());
    text += release->delta.text;
  }
  return text + output.finish()->delta.text;
}

TEST(Output, ShowsTheSpellingOfVisibleSpecialTokensInItsPlace) {
  EXPECT_EQ(text_with_visible_257({'a', 257, 'b', 258, 257}), "a<|im_start|>b<|im_start|>");
}

TEST(Output, EndsACharacterThatAVisibleTokenCutsShort) {
  EXPECT_EQ(text_with_visible_257({'a', 0xE4, 0xB8, 257, 0x96, 'b'}),
            "a\xEF\xBF\xBD<|im_start|>\xEF\xBF\xBD"
            "b");
  // A token without text between the bytes of a character does not.
  EXPECT_EQ(text_with_visible_257({0xC3, 258, 0xA9, 257}), "é<|im_start|>");
}

TEST(Output, FindsStopStringsInVisibleTokens) {
  const auto tokenizer = byte_tokenizer();
  Output output(tokenizer.get(), {"<|im_start|>"}, {257});
  ASSERT_TRUE(output.push({.chosen = {.token = 'a'}, .alternatives = {}}));
  const auto release = output.push({.chosen = {.token = 257}, .alternatives = {}});
  EXPECT_EQ(release->stop_string, "<|im_start|>");
  EXPECT_EQ(release->delta.text, "");
}

TEST(Output, NeverLeaksPartOfAStopString) {
  std::mt19937 random(21);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += random() % 3 ? "a" : "é";
    std::string stop;
    for (int i = 0; i < 3; ++i) stop += random() % 2 ? "a" : "é";
    const Outcome outcome = run(text, {stop});
    const auto at = text.find(stop);
    ASSERT_EQ(outcome.text, text.substr(0, at)) << "round " << round;
    // The first byte of a character has no text yet when it comes, so it may be reported.
    auto tokens = outcome.tokens;
    if (!tokens.empty() && tokens.back() == 0xC3) tokens.pop_back();
    ASSERT_EQ(tokens, tokens_of(outcome.text)) << "round " << round;
  }
}

/// A model that says `reply` after any prompt, then ends its turn.
FakeDecoderOptions saying(std::string reply, std::size_t prompt_tokens) {
  FakeDecoderOptions options;
  options.vocabulary_size = 259;
  options.scripted_next = [reply = std::move(reply), prompt_tokens](
                              std::span<const TokenId> prefix) -> std::optional<TokenId> {
    if (prefix.size() < prompt_tokens) return std::nullopt;
    const std::size_t at = prefix.size() - prompt_tokens;
    if (at >= reply.size()) return 258;
    return static_cast<unsigned char>(reply[at]);
  };
  return options;
}

Recorded answer(std::string reply, SequenceRequest request) {
  auto engine =
      Engine::start(std::make_unique<FakeDecoder>(saying(std::move(reply), request.prompt.size())),
                    byte_tokenizer(), {.end_tokens = {258}});
  EXPECT_TRUE(engine.has_value());
  request.sampling.temperature = 0;
  if (request.tokens_max == 0) request.tokens_max = 100;
  EventRecorder recorder;
  EXPECT_TRUE((*engine)->submit(std::move(request), recorder.sink()));
  return recorder.wait();
}

TEST(EngineText, StreamsTheModelsAnswer) {
  const Recorded result = answer("Grüße, 世界! 👋🏽", {.prompt = tokens_of("hi")});
  EXPECT_EQ(result.text, "Grüße, 世界! 👋🏽");
  EXPECT_EQ(result.finished->reason, StopReason::kEndOfTurn);
  EXPECT_GT(result.deltas, 10U);
}

TEST(EngineText, StopsAtAStopString) {
  const Recorded result = answer("one, two\n\nHuman: three",
                                 {.prompt = tokens_of("hi"), .stop_strings = {"\n\nHuman:"}});
  EXPECT_EQ(result.text, "one, two");
  EXPECT_EQ(result.finished->reason, StopReason::kStopString);
  EXPECT_EQ(result.finished->stop_string, "\n\nHuman:");
}

TEST(EngineText, FlushesHeldTextAtTheTokenLimit) {
  const Recorded result =
      answer("abc STOx", {.prompt = tokens_of("hi"), .tokens_max = 7, .stop_strings = {"STOP"}});
  EXPECT_EQ(result.text, "abc STO");
  EXPECT_EQ(result.finished->reason, StopReason::kTokensMax);
}

TEST(EngineText, FlushesHeldTextAtTheEndOfTheTurn) {
  const Recorded result = answer("abc STO", {.prompt = tokens_of("hi"), .stop_strings = {"STOP"}});
  EXPECT_EQ(result.text, "abc STO");
  EXPECT_EQ(result.finished->reason, StopReason::kEndOfTurn);
}

}  // namespace
}  // namespace onnxlocal
