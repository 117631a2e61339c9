#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/openai/completion_reply.h"
#include "api/openai/completion_request.h"
#include "api/openai/test_replies.h"
#include "api/openai/test_requests.h"

namespace onnxlocal::openai {
namespace {

using testing::EndsWith;
using testing::StartsWith;

CompletionRequest parse(const std::string& fields) {
  return accepted(parse_completion_request(R"({"model":"m",)" + fields + "}"));
}
std::string refused(const std::string& fields) {
  return complaint(parse_completion_request(R"({"model":"m",)" + fields + "}"));
}

TEST(CompletionRequest, TakesOnePromptInEachForm) {
  const RawPrompt text = std::string("hi");
  const RawPrompt tokens = std::vector<TokenId>{1, 2};
  EXPECT_EQ(parse(R"("prompt":"hi")").generation.raw_prompt, text);
  EXPECT_EQ(parse(R"("prompt":["hi"])").generation.raw_prompt, text);
  EXPECT_EQ(parse(R"("prompt":[1,2])").generation.raw_prompt, tokens);
  EXPECT_EQ(parse(R"("prompt":[[1,2]])").generation.raw_prompt, tokens);
}

TEST(CompletionRequest, RefusesOtherPrompts) {
  for (const char* prompt : {R"("")", "[]", "[[]]", R"(["a","b"])", "[-1]", "[1.5]", "7",
                             R"([1,"a"])", "[3000000000]"}) {
    EXPECT_THAT(refused(std::string("\"prompt\":") + prompt), StartsWith("prompt: ")) << prompt;
  }
  EXPECT_THAT(refused(R"("user":"u")"), StartsWith("prompt: Field required"));
}

TEST(CompletionRequest, HasOpenAisDefaultLength) {
  EXPECT_EQ(parse(R"("prompt":"x")").generation.tokens_max, 16U);
  EXPECT_EQ(parse(R"("prompt":"x","max_tokens":3)").generation.tokens_max, 3U);
}

TEST(CompletionRequest, RefusesWhatIsNotHere) {
  EXPECT_THAT(refused(R"("prompt":"x","suffix":"y")"), StartsWith("suffix: "));
  EXPECT_THAT(refused(R"("prompt":"x","best_of":2)"), StartsWith("best_of: "));
  EXPECT_THAT(refused(R"("prompt":"x","echo":true,"logprobs":1)"), StartsWith("logprobs: "));
}

TEST(CompletionReply, IsOneBodyThatMayBeginWithThePrompt) {
  const json::value body =
      json::parse(run(*make_completion_encoder({}, "Once "), text_events({"upon", " a"}))).value();
  EXPECT_EQ(body.at("object"), "text_completion");
  EXPECT_EQ(body.at("choices").at(0).at("text"), "Once upon a");
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 3);
}

TEST(CompletionReply, StreamsPiecesThatMakeTheSameText) {
  ReplyOptions options;
  options.is_stream = true;
  options.include_usage = true;
  const std::string stream =
      run(*make_completion_encoder(options, "Once "), text_events({"upon", " a"}));
  EXPECT_THAT(stream, EndsWith("data: [DONE]\n\n"));
  std::string text;
  auto pieces = data_of(stream);
  EXPECT_EQ(pieces.back().at("usage").at("total_tokens"), 15);
  pieces.pop_back();
  for (const json::value& piece : pieces) {
    text += std::string(piece.at("choices").at(0).at("text").get_string());
  }
  EXPECT_EQ(text, "Once upon a");
  EXPECT_EQ(pieces.back().at("choices").at(0).at("finish_reason"), "stop");
}

TEST(CompletionReply, ReportsLogprobsInListsOfOneLength) {
  const json::value body =
      json::parse(run(*make_completion_encoder(with_logprobs(), ""), logprob_events())).value();
  const json::value& logprobs = body.at("choices").at(0).at("logprobs");
  EXPECT_EQ(logprobs.at("tokens").at(0), "A");
  EXPECT_EQ(logprobs.at("token_logprobs").at(0), -0.5);
  EXPECT_EQ(logprobs.at("top_logprobs").at(0).at("B"), -1.0);
  EXPECT_EQ(logprobs.at("text_offset").at(0), 0);
}

TEST(CompletionReply, TellsALateErrorAsData) {
  ReplyOptions options;
  options.is_stream = true;
  const auto data =
      data_of(run(*make_completion_encoder(options, ""), {GenerationFailed{internal_error("x")}}));
  EXPECT_EQ(data.back().at("error").at("type"), "server_error");
}

}  // namespace
}  // namespace onnxlocal::openai
