// What `warm` is made of: the recorder, driven over a real connection, and the request that it
// makes of what was recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/launch_http.h"
#include "cli/warm_recorder.h"
#include "cli/warm_request.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::chrono::seconds kPatience{30};

class RecorderTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = RequestRecorder::start();
    ASSERT_TRUE(started) << describe(started.error());
    recorder = *std::move(started);
  }

  ServerAnswer ask(const std::string& method, const std::string& path,
                   const std::string& body = "") {
    const auto answer = ask_server(
        {.port = recorder->port()},
        {.method = method, .path = path, .body = body, .headers = {{"anthropic-beta", "one,two"}}},
        Deadline::after(kPatience));
    EXPECT_TRUE(answer) << describe(answer.error());
    return answer.value_or(ServerAnswer{});
  }

  std::unique_ptr<RequestRecorder> recorder;
};

TEST_F(RecorderTest, KeepsTheFirstMessageRequestAsItWasSent) {
  EXPECT_FALSE(recorder->first());
  ask("GET", "/api/hello");
  EXPECT_FALSE(recorder->first());
  ask("POST", "/v1/messages?beta=true", R"({"max_tokens":  1.50, "x":[]})");
  ask("POST", "/v1/messages", R"({"max_tokens":2})");
  ASSERT_TRUE(recorder->first());
  EXPECT_EQ(recorder->first()->body, R"({"max_tokens":  1.50, "x":[]})");
  EXPECT_EQ(recorder->first()->betas, "one,two");
}

TEST_F(RecorderTest, AnswersInTheFormThatWasAskedFor) {
  const auto whole = ask("POST", "/v1/messages", R"({"stream":false})");
  EXPECT_EQ(whole.status, 200U);
  EXPECT_TRUE(json::parse(whole.body));
  const auto stream = ask("POST", "/v1/messages", R"({"stream":true})");
  EXPECT_THAT(stream.body, StartsWith("event: message_start\n"));
  EXPECT_THAT(stream.body, HasSubstr("event: message_stop\n"));
}

TEST_F(RecorderTest, OtherQuestionsAreAnsweredToo) {
  EXPECT_EQ(ask("GET", "/v1/models").status, 200U);
  EXPECT_EQ(ask("POST", "/v1/messages/count_tokens", "{}").body, "{}");
  EXPECT_FALSE(recorder->first());
}

TEST(AskServer, SaysThatNobodyListens) {
  std::uint16_t port = 0;
  {
    const auto recorder = RequestRecorder::start();
    ASSERT_TRUE(recorder);
    port = (*recorder)->port();
  }
  const auto answer = ask_server({.port = port}, {}, Deadline::after(kPatience));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
}

TEST(WarmRequest, AllButLengthAndStreamKeepsItsText) {
  const auto request = one_token_request(
      R"({"stream" : true, "tools":[{"input_schema":{"minimum":1.0,"max_tokens":5}}],)"
      R"("max_tokens":32000,"z":"stream"})");
  ASSERT_TRUE(request);
  EXPECT_EQ(*request,
            R"({"stream" : false, "tools":[{"input_schema":{"minimum":1.0,"max_tokens":5}}],)"
            R"("max_tokens":1,"z":"stream"})");
}

TEST(WarmRequest, WhatIsNoRequestIsRefused) {
  for (const char* body : {"", "[1]", "{}", R"({"max_tokens")"}) {
    EXPECT_FALSE(one_token_request(body)) << body;
  }
}

TEST(WarmRequest, UsageTellsWhatWasCached) {
  const auto usage =
      read_prompt_usage(200, R"({"usage":{"input_tokens":3,"cache_read_input_tokens":90,)"
                             R"("cache_creation_input_tokens":7,"output_tokens":1}})");
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->cached_tokens, 90U);
  EXPECT_EQ(usage->computed_tokens, 10U);
}

TEST(WarmRequest, AnErrorOfTheServerIsTold) {
  const auto refused = read_prompt_usage(
      400, R"({"error":{"message":"prompt is too long: 11000 tokens > 8192 maximum"}})");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("11000 tokens > 8192"));
  EXPECT_THAT(refused.error().hint, HasSubstr("--context"));
  EXPECT_FALSE(read_prompt_usage(200, "{}"));
  EXPECT_FALSE(read_prompt_usage(500, "<html>"));
}

}  // namespace
}  // namespace onnxlocal
