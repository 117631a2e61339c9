#include "api/openai/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/fields.h"
#include "base/json.h"

namespace onnxlocal::openai {
namespace {

using testing::HasSubstr;

json::value parsed(const ErrorReply& reply) { return json::parse(reply.body).value().at("error"); }

TEST(OpenAiErrors, NameTheFieldThatIsWrong) {
  const ErrorReply reply = error_reply(field_error("messages.0.content", "Field required"));
  EXPECT_EQ(reply.status, 400U);
  EXPECT_EQ(parsed(reply).at("type"), "invalid_request_error");
  EXPECT_EQ(parsed(reply).at("param"), "messages.0.content");
  EXPECT_TRUE(parsed(reply).at("code").is_null());
}

TEST(OpenAiErrors, TakeNoSentenceForAField) {
  EXPECT_TRUE(
      parsed(error_reply(invalid_request("the text is bad: no JSON"))).at("param").is_null());
}

TEST(OpenAiErrors, HaveTheCodesThatClientsActOn) {
  EXPECT_EQ(parsed(error_reply(prompt_too_long(9, 8))).at("code"), "context_length_exceeded");
  EXPECT_EQ(error_reply(prompt_too_long(9, 8)).status, 400U);
  const ErrorReply missing = error_reply(not_found("model: nobody"));
  EXPECT_EQ(missing.status, 404U);
  EXPECT_EQ(parsed(missing).at("code"), "model_not_found");
  EXPECT_EQ(parsed(status_reply(401, "no key")).at("code"), "invalid_api_key");
  EXPECT_EQ(parsed(status_reply(429, "slow down")).at("code"), "rate_limit_exceeded");
}

TEST(OpenAiErrors, SayWhetherToTryAgain) {
  EXPECT_EQ(error_reply(model_corrupt("x")).should_retry, false);
  const ErrorReply full = error_reply(overloaded("full"));
  EXPECT_EQ(full.should_retry, true);
  EXPECT_TRUE(full.retry_after_s.has_value());
}

TEST(OpenAiErrors, KeepTheHint) {
  EXPECT_THAT(error_reply(not_found("model: x", "models here: y")).body, HasSubstr("models here"));
}

}  // namespace
}  // namespace onnxlocal::openai
