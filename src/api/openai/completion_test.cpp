#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "api/openai/completion_reply.h"
#include "api/openai/completion_request.h"
#include "api/openai/test_replies.h"
#include "api/openai/test_requests.h"

namespace onnxlocal::openai {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::StartsWith;

CompletionRequest parse(const std::string& fields) {
  return accepted(parse_completion_request(R"({"model":"m",)" + fields + "}"));
}
std::string refused(const std::string& fields) {
  return complaint(parse_completion_request(R"({"model":"m",)" + fields + "}"));
}

TEST(CompletionRequest, TakesPromptsInEachForm) {
  const RawPrompt text = std::string("hi");
  const RawPrompt tokens = std::vector<TokenId>{1, 2};
  EXPECT_THAT(parse(R"("prompt":"hi")").prompts, ElementsAre(text));
  EXPECT_THAT(parse(R"("prompt":["hi"])").prompts, ElementsAre(text));
  EXPECT_THAT(parse(R"("prompt":[1,2])").prompts, ElementsAre(tokens));
  EXPECT_THAT(parse(R"("prompt":[[1,2]])").prompts, ElementsAre(tokens));
  EXPECT_THAT(parse(R"("prompt":["hi",[1,2]])").prompts, ElementsAre(text, tokens));
}

TEST(CompletionRequest, RefusesOtherPrompts) {
  for (const char* prompt :
       {R"("")", "[]", "[[]]", "[-1]", "[1.5]", "7", R"([1,"a"])", R"(["a",""])", "[3000000000]"}) {
    EXPECT_THAT(refused(std::string("\"prompt\":") + prompt), StartsWith("prompt")) << prompt;
  }
  EXPECT_THAT(refused(R"("user":"u")"), StartsWith("prompt: Field required"));
}

TEST(CompletionRequest, HasAnswersToEachPromptInTurn) {
  const CompletionRequest request = parse(R"("prompt":["a","b"],"n":2,"best_of":2,"seed":7)");
  ASSERT_EQ(request.answers(), 4U);
  for (const auto& [answer, prompt, seed] :
       {std::tuple(0U, "a", 7U), {1U, "a", 8U}, {2U, "b", 7U}, {3U, "b", 8U}}) {
    const GenerationRequest one = answer_request(request, answer);
    EXPECT_EQ(one.raw_prompt, RawPrompt(std::string(prompt))) << answer;
    EXPECT_EQ(one.sampling.seed, seed) << answer;
  }
}

TEST(CompletionRequest, BoundsTheAnswers) {
  EXPECT_EQ(parse(R"("prompt":["a","b"],"n":16)").answers(), 32U);
  EXPECT_THAT(refused(R"("prompt":["a","b"],"n":17)"), StartsWith("n: 17 answers to 2 prompts"));
  EXPECT_THAT(refused(R"("prompt":"a","n":0)"), StartsWith("n: "));
  std::string list = "\"x\"";
  for (int i = 1; i < 33; ++i) list += ",\"x\"";
  EXPECT_THAT(refused("\"prompt\":[" + list + "]"), StartsWith("prompt: a list may have at most"));
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

/// Runs an encoder over answers whose events come in turn.
std::string run_answers(ReplyOptions options, std::vector<std::string> echoes,
                        const std::vector<std::vector<GenerationEvent>>& answers,
                        std::uint32_t each = 1) {
  const auto log = std::make_shared<AnswerLog>();
  const auto encoder = make_completion_encoder(
      std::move(options), {.log = log, .echoes = std::move(echoes), .each = each});
  std::string bytes;
  for (std::size_t i = 0; i < answers.front().size(); ++i) {
    for (std::uint32_t answer = 0; answer < answers.size(); ++answer) {
      const GenerationEvent& event = answers[answer].at(i);
      log->add(answer, event);
      const bool ends = std::holds_alternative<GenerationFinished>(event);
      if (!ends || answer + 1 == answers.size()) bytes += encoder->encode(event);
    }
  }
  return bytes;
}

TEST(CompletionReply, IsOneBodyThatMayBeginWithThePrompt) {
  const json::value body =
      json::parse(run_answers({}, {"Once "}, {text_events({"upon", " a"})})).value();
  EXPECT_EQ(body.at("object"), "text_completion");
  EXPECT_EQ(body.at("choices").at(0).at("text"), "Once upon a");
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 3);
}

TEST(CompletionReply, HasSeveralAnswersInTheirOrder) {
  const json::value body =
      json::parse(run_answers({}, {"", "B: "},
                              {text_events({"one"}, StopReason::kTokensMax), text_events({"two"})},
                              /*each=*/2))
          .value();
  ASSERT_EQ(body.at("choices").as_array().size(), 2U);
  EXPECT_EQ(body.at("choices").at(0).at("text"), "one");
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(body.at("choices").at(1).at("text"), "B: two");
  EXPECT_EQ(body.at("choices").at(1).at("index"), 1);
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 12) << "the prompt counts once";
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 6);
}

TEST(CompletionReply, StreamsPiecesThatMakeTheSameTexts) {
  ReplyOptions options;
  options.is_stream = true;
  options.include_usage = true;
  const std::string stream = run_answers(
      options, {"Once ", "Then "}, {text_events({"upon", " a"}), text_events({"it", " was"})});
  EXPECT_THAT(stream, EndsWith("data: [DONE]\n\n"));
  auto pieces = data_of(stream);
  EXPECT_EQ(pieces.back().at("usage").at("total_tokens"), 30);
  pieces.pop_back();
  std::vector<std::string> texts(2);
  std::vector<json::value> reasons(2);
  for (const json::value& piece : pieces) {
    const json::value& choice = piece.at("choices").at(0);
    const auto index = choice.at("index").to_number<std::size_t>();
    EXPECT_TRUE(reasons.at(index).is_null()) << "a piece after the end";
    texts.at(index) += std::string(choice.at("text").get_string());
    reasons.at(index) = choice.at("finish_reason");
  }
  EXPECT_THAT(texts, ElementsAre("Once upon a", "Then it was"));
  EXPECT_THAT(reasons, ElementsAre("stop", "stop"));
}

TEST(CompletionReply, ReportsLogprobsInListsOfOneLength) {
  const json::value body =
      json::parse(run_answers(with_logprobs(), {""}, {logprob_events()})).value();
  const json::value& logprobs = body.at("choices").at(0).at("logprobs");
  EXPECT_EQ(logprobs.at("tokens").at(0), "A");
  EXPECT_EQ(logprobs.at("token_logprobs").at(0), -0.5);
  EXPECT_EQ(logprobs.at("top_logprobs").at(0).at("B"), -1.0);
  EXPECT_EQ(logprobs.at("text_offset").at(0), 0);
}

TEST(CompletionReply, TellsALateErrorAsData) {
  ReplyOptions options;
  options.is_stream = true;
  const auto data = data_of(run_answers(options, {""}, {{GenerationFailed{internal_error("x")}}}));
  EXPECT_EQ(data.back().at("error").at("type"), "server_error");
}

}  // namespace
}  // namespace onnxlocal::openai
