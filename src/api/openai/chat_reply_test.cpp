#include "api/openai/chat_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "api/openai/test_replies.h"

namespace onnxlocal::openai {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;

std::vector<GenerationEvent> call_events() {
  return {GenerationStarted{},
          ThinkingDelta{"hm"},
          ToolUseStarted{.id = "toolu_1", .name = "f"},
          ToolInputDelta{R"({"a":)"},
          ToolInputDelta{"1}"},
          ToolUseStarted{.id = "toolu_2", .name = "g"},
          ToolInputDelta{"{}"},
          GenerationFinished{.reason = StopReason::kToolUse, .stop_string = {}, .usage = kWhole}};
}

json::value chat_body(const std::vector<GenerationEvent>& events, ReplyOptions options = {}) {
  options.id = "chatcmpl-1";
  options.model = "m";
  return json::parse(run(*make_chat_encoder(options), events)).value();
}

std::vector<json::value> chat_chunks(const std::vector<GenerationEvent>& events,
                                     ReplyOptions options = {}) {
  options.id = "chatcmpl-1";
  options.model = "m";
  options.is_stream = true;
  const std::string stream = run(*make_chat_encoder(options), events);
  EXPECT_THAT(stream, EndsWith("data: [DONE]\n\n"));
  return data_of(stream);
}

TEST(ChatBody, GathersOneCompletion) {
  const json::value body = chat_body(text_events({"Hel", "lo"}));
  EXPECT_EQ(body.at("object"), "chat.completion");
  EXPECT_EQ(body.at("id"), "chatcmpl-1");
  EXPECT_EQ(body.at("model"), "m");
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("content"), "Hello");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_TRUE(choice.at("logprobs").is_null());
}

TEST(ChatBody, CountsCachedTokensAsPartOfThePrompt) {
  const json::value usage = chat_body(text_events({"x"})).at("usage");
  EXPECT_EQ(usage.at("prompt_tokens"), 12);
  EXPECT_EQ(usage.at("completion_tokens"), 3);
  EXPECT_EQ(usage.at("total_tokens"), 15);
  EXPECT_EQ(usage.at("prompt_tokens_details").at("cached_tokens"), 8);
}

TEST(ChatBody, HasCallsAndNoContent) {
  const json::value body = chat_body(call_events());
  const json::value& message = body.at("choices").at(0).at("message");
  EXPECT_TRUE(message.at("content").is_null());
  EXPECT_EQ(message.at("reasoning_content"), "hm");
  EXPECT_EQ(message.at("tool_calls").at(0).at("id"), "call_1");
  EXPECT_EQ(message.at("tool_calls").at(0).at("function").at("arguments"), R"({"a":1})");
  EXPECT_EQ(message.at("tool_calls").at(1).at("function").at("name"), "g");
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), "tool_calls");
}

TEST(ChatBody, ReportsLogprobs) {
  const json::value body = chat_body(logprob_events(), with_logprobs());
  const json::value& token = body.at("choices").at(0).at("logprobs").at("content").at(0);
  EXPECT_EQ(token.at("token"), "A");
  EXPECT_EQ(token.at("bytes").at(0), 65);
  EXPECT_EQ(token.at("logprob"), -0.5);
  EXPECT_EQ(token.at("top_logprobs").at(1).at("token"), "B");
}

TEST(ChatStream, SendsRoleTextsAndReason) {
  std::vector<std::string> kinds;
  for (const json::value& chunk : chat_chunks(text_events({"Hel", "", "lo"}))) {
    EXPECT_EQ(chunk.at("object"), "chat.completion.chunk");
    EXPECT_FALSE(chunk.get_object().contains("usage"));
    const json::value& choice = chunk.at("choices").at(0);
    kinds.push_back(json::serialize(choice.at("delta")) +
                    json::serialize(choice.at("finish_reason")));
  }
  EXPECT_THAT(kinds,
              ElementsAre(R"({"role":"assistant","content":""}null)", R"({"content":"Hel"}null)",
                          R"({"content":"lo"}null)", R"({}"stop")"));
}

TEST(ChatStream, EndsWithUsageWhereItIsAskedFor) {
  ReplyOptions options;
  options.include_usage = true;
  const auto chunks = chat_chunks(text_events({"x"}), options);
  EXPECT_TRUE(chunks.front().at("usage").is_null());
  EXPECT_THAT(chunks.back().at("choices").get_array(), IsEmpty());
  EXPECT_EQ(chunks.back().at("usage").at("total_tokens"), 15);
}

TEST(ChatStream, NumbersCalls) {
  std::vector<std::string> calls;
  for (const json::value& chunk : chat_chunks(call_events())) {
    const auto& delta = chunk.at("choices").at(0).at("delta").get_object();
    if (delta.contains("tool_calls")) calls.push_back(json::serialize(delta.at("tool_calls")));
  }
  EXPECT_THAT(
      calls,
      ElementsAre(
          R"([{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}])",
          R"([{"index":0,"function":{"arguments":"{\"a\":"}}])",
          R"([{"index":0,"function":{"arguments":"1}"}}])",
          R"([{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":""}}])",
          R"([{"index":1,"function":{"arguments":"{}"}}])"));
}

TEST(ChatStream, CarriesLogprobsWithTheText) {
  ReplyOptions options = with_logprobs();
  const auto chunks = chat_chunks(logprob_events(), options);
  EXPECT_EQ(chunks.at(1).at("choices").at(0).at("logprobs").at("content").at(0).at("token"), "A");
}

TEST(ChatStream, StartsOnce) {
  ReplyOptions options;
  options.is_stream = true;
  const auto encoder = make_chat_encoder(options);
  EXPECT_EQ(data_of(encoder->start_early({})).size(), 1U);
  EXPECT_EQ(encoder->encode(GenerationStarted{}), "");
}

TEST(ChatStream, TellsLateErrorsAsData) {
  const auto chunks = chat_chunks({GenerationStarted{}, GenerationFailed{overloaded("full")}});
  EXPECT_EQ(chunks.back().at("error").at("code"), "overloaded");
}

TEST(ChatStream, BreaksASilenceWithAComment) {
  ReplyOptions options;
  options.is_stream = true;
  EXPECT_EQ(make_chat_encoder(options)->ping(), ": ping\n\n");
}

}  // namespace
}  // namespace onnxlocal::openai
