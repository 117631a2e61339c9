#include "base/result.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <string>

#include "base/log.h"
#include "base/strong_id.h"

namespace onnxlocal {
namespace {

constexpr std::array kCodes{
    ErrorCode::kInvalidRequest, ErrorCode::kPromptTooLong, ErrorCode::kNotFound,
    ErrorCode::kTooLarge,       ErrorCode::kModelCorrupt,  ErrorCode::kUnsupported,
    ErrorCode::kDiskFull,       ErrorCode::kOverloaded,    ErrorCode::kCancelled,
    ErrorCode::kTimeout,        ErrorCode::kUnavailable,   ErrorCode::kInternal};

Result<std::unique_ptr<int>> make(bool good) {
  if (!good) return std::unexpected(not_found("no number", "bring one"));
  return std::make_unique<int>(4);
}

Result<int> doubled(bool good) {
  TRY(auto number, make(good));
  TRY(const int twice, Result<int>(*number * 2));
  return twice;
}

Result<void> check_both(bool first, bool second) {
  TRY_VOID(make(first));
  TRY_VOID(make(second));
  return {};
}

TEST(Result, TryGivesTheValueOrReturnsTheError) {
  EXPECT_EQ(doubled(true), 8);
  const auto failed = doubled(false);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "no number");
}

TEST(Result, TryVoidReturnsTheFirstError) {
  EXPECT_TRUE(check_both(true, true));
  EXPECT_FALSE(check_both(true, false));
  EXPECT_FALSE(check_both(false, true));
}

TEST(Error, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (const ErrorCode code : kCodes) names.insert(to_string(code));
  EXPECT_EQ(names.size(), kCodes.size());
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(Error, OnlyPassingTroubleIsRetryable) {
  EXPECT_TRUE(retryable(overloaded("full").code));
  EXPECT_TRUE(retryable(timed_out("slow").code));
  EXPECT_TRUE(retryable(unavailable("loading").code));
  EXPECT_FALSE(retryable(invalid_request("wrong").code));
  EXPECT_FALSE(retryable(model_corrupt("cut").code));
  EXPECT_FALSE(retryable(disk_full("full").code));
}

TEST(Error, DescribesItselfWithHintAndContext) {
  EXPECT_EQ(describe(not_found("no model")), "no model");
  EXPECT_EQ(describe(with_context("load", not_found("no model", "import one"))),
            "load: no model (import one)");
}

TEST(Error, APromptThatIsTooLongIsSaidInTheWordsThatClientsKnow) {
  EXPECT_EQ(prompt_too_long(9000, 8192).message, "prompt is too long: 9000 tokens > 8192 maximum");
}

TEST(LogLevel, ReadsItsOwnNamesAndNoOthers) {
  for (const auto level :
       {LogLevel::kVerbose, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    EXPECT_EQ(parse_log_level(to_string(level)), level);
  }
  EXPECT_FALSE(parse_log_level("INFO"));
  EXPECT_FALSE(parse_log_level(""));
}

TEST(StrongId, ComparesAndHashesByValue) {
  struct SlotTag;
  using SlotId = StrongId<SlotTag, std::uint32_t>;
  EXPECT_EQ(SlotId{3}, SlotId{3});
  EXPECT_LT(SlotId{2}, SlotId{3});
  EXPECT_EQ(std::hash<SlotId>{}(SlotId{3}), std::hash<std::uint32_t>{}(3));
}

}  // namespace
}  // namespace onnxlocal
