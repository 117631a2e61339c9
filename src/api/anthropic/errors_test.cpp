#include "api/anthropic/errors.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace onnxlocal::anthropic {
namespace {

TEST(Errors, MapToAnthropicsStatusesAndTypes) {
  EXPECT_EQ(to_http_error(ErrorCode::kInvalidRequest).status, 400U);
  EXPECT_EQ(to_http_error(ErrorCode::kPromptTooLong).type, "invalid_request_error");
  EXPECT_EQ(to_http_error(ErrorCode::kNotFound).status, 404U);
  EXPECT_EQ(to_http_error(ErrorCode::kTooLarge).status, 413U);
  EXPECT_EQ(to_http_error(ErrorCode::kOverloaded).status, 529U);
  EXPECT_EQ(to_http_error(ErrorCode::kTimeout).status, 504U);
}

TEST(Errors, TellClientsNotToRepeatWhatCannotSucceed) {
  EXPECT_EQ(to_http_error(ErrorCode::kModelCorrupt).should_retry, false);
  EXPECT_EQ(to_http_error(ErrorCode::kInternal).should_retry, true);
  EXPECT_TRUE(to_http_error(ErrorCode::kOverloaded).retry_after_s.has_value());
}

TEST(Errors, AgreeWithRetryableWhereTheySayAnything) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const auto error = static_cast<ErrorCode>(code);
    const auto mapped = to_http_error(error);
    if (error == ErrorCode::kCancelled || !mapped.should_retry) continue;
    EXPECT_EQ(*mapped.should_retry, retryable(error)) << to_string(error);
  }
}

TEST(Errors, HaveTheEnvelope) {
  const auto body = json::parse(error_body("api_error", "why \"so\"", "req_1")).value();
  EXPECT_EQ(body.at("type"), "error");
  EXPECT_EQ(body.at("error").at("type"), "api_error");
  EXPECT_EQ(body.at("error").at("message"), "why \"so\"");
  EXPECT_EQ(body.at("request_id"), "req_1");
  EXPECT_FALSE(body.at("error").get_object().contains("details"));
}

TEST(Errors, CarryACodeThatClientsActOn) {
  const auto body = json::parse(error_body("invalid_request_error", "m", "r", "code_x")).value();
  EXPECT_EQ(body.at("error").at("details").at("error_code"), "code_x");
  EXPECT_TRUE(body.at("error").at("details").at("unsupported").is_array());
}

TEST(Errors, NameTheTypeOfEveryStatus) {
  EXPECT_EQ(error_type_of_status(405), "invalid_request_error");
  EXPECT_EQ(error_type_of_status(408), "timeout_error");
  EXPECT_EQ(error_type_of_status(503), "api_error");
}

}  // namespace
}  // namespace onnxlocal::anthropic
