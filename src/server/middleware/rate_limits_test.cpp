#include "server/middleware/rate_limits.h"

#include <gmock/gmock.h>

#include <string>

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class RateLimits : public testing::Test {
 protected:
  RateLimits()
      : limiter({.steady = [this] { return Clock::Steady(now); },
                 .wall = [this] { return Clock::Wall(now); }}) {}

  std::expected<std::shared_ptr<Admission>, RateRefusal> admit(const std::string& key = "a") {
    return limiter.admit(key, limits);
  }

  static std::string header(const std::vector<HttpHeader>& headers, std::string_view name) {
    return std::string(find_header(headers, name).value_or("none"));
  }

  std::chrono::nanoseconds now = 1000s;
  KeyLimits limits;
  RateLimiter limiter;
};

TEST_F(RateLimits, HoldNobodyBackWhereThereAreNone) {
  for (int i = 0; i < 1000; ++i) {
    const auto admitted = admit();
    ASSERT_TRUE(admitted.has_value());
    (*admitted)->charge()(1'000'000, 1'000'000);
    EXPECT_TRUE((*admitted)->headers().empty());
  }
}

TEST_F(RateLimits, CountRequestsPerMinuteAndRefillEvenly) {
  limits.requests_per_minute = 2;
  EXPECT_TRUE(admit().has_value());
  EXPECT_TRUE(admit().has_value());
  const auto refused = admit();
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("2 requests per minute"));
  EXPECT_EQ(refused.error().retry_after_s, 30U);
  now += 29s;
  EXPECT_FALSE(admit().has_value());
  now += 1s;
  EXPECT_TRUE(admit().has_value());
  EXPECT_FALSE(admit().has_value());
}

TEST_F(RateLimits, KeepKeysApart) {
  limits.requests_per_minute = 1;
  EXPECT_TRUE(admit("a").has_value());
  EXPECT_FALSE(admit("a").has_value());
  EXPECT_TRUE(admit("b").has_value());
}

TEST_F(RateLimits, CountRequestsThatRunAtATime) {
  limits.concurrent_requests = 1;
  auto first = admit();
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(admit().has_value());
  first->reset();
  EXPECT_TRUE(admit().has_value());
}

TEST_F(RateLimits, LetTokensRunIntoDebtAndWaitUntilItIsPaid) {
  limits.output_tokens_per_minute = 60;
  {
    const auto admitted = admit();
    ASSERT_TRUE(admitted.has_value());
    (*admitted)->charge()(1'000, 90);
  }
  const auto refused = admit();
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("60 output tokens per minute"));
  EXPECT_EQ(refused.error().retry_after_s, 31U);
  now += 31s;
  EXPECT_TRUE(admit().has_value());
}

TEST_F(RateLimits, CountInputAndOutputTogetherAndEachAlone) {
  limits.tokens_per_minute = 600;
  limits.input_tokens_per_minute = 400;
  const auto admitted = admit();
  ASSERT_TRUE(admitted.has_value());
  (*admitted)->charge()(100, 50);
  const auto headers = (*admitted)->headers();
  EXPECT_EQ(header(headers, "anthropic-ratelimit-tokens-limit"), "600");
  EXPECT_EQ(header(headers, "anthropic-ratelimit-tokens-remaining"), "450");
  EXPECT_EQ(header(headers, "anthropic-ratelimit-tokens-reset"), "1970-01-01T00:16:55Z");
  EXPECT_EQ(header(headers, "anthropic-ratelimit-input-tokens-remaining"), "300");
  EXPECT_EQ(header(headers, "anthropic-ratelimit-output-tokens-remaining"), "none");
  EXPECT_EQ(header(headers, "anthropic-ratelimit-requests-remaining"), "none");
}

TEST_F(RateLimits, TellTheLongestWait) {
  limits.requests_per_minute = 1;
  limits.tokens_per_minute = 60;
  const auto admitted = admit();
  ASSERT_TRUE(admitted.has_value());
  (*admitted)->charge()(60 + 119, 0);
  const auto refused = admit();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().retry_after_s, 120U);
  EXPECT_EQ(header(refused.error().headers, "anthropic-ratelimit-requests-remaining"), "0");
}

TEST_F(RateLimits, ChangeWithTheKeyFile) {
  limits.requests_per_minute = 1;
  EXPECT_TRUE(admit().has_value());
  EXPECT_FALSE(admit().has_value());
  limits.requests_per_minute = 5;
  EXPECT_TRUE(admit().has_value());
}

}  // namespace
}  // namespace onnxlocal
