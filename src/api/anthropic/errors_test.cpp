#include "api/anthropic/errors.h"

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <vector>

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
  const std::vector<std::pair<unsigned, std::string_view>> table = {{400, "invalid_request_error"},
                                                                    {401, "authentication_error"},
                                                                    {402, "billing_error"},
                                                                    {403, "permission_error"},
                                                                    {404, "not_found_error"},
                                                                    {405, "invalid_request_error"},
                                                                    {408, "timeout_error"},
                                                                    {409, "conflict_error"},
                                                                    {413, "request_too_large"},
                                                                    {429, "rate_limit_error"},
                                                                    {500, "api_error"},
                                                                    {503, "api_error"},
                                                                    {504, "timeout_error"},
                                                                    {529, "overloaded_error"}};
  for (const auto& [status, type] : table) EXPECT_EQ(error_type_of_status(status), type) << status;
}

}  // namespace
}  // namespace onnxlocal::anthropic
