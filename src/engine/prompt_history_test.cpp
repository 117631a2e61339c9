#include "engine/prompt_history.h"

#include <numeric>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

std::vector<TokenId> count_up(std::size_t size, TokenId first = 0) {
  std::vector<TokenId> tokens(size);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class PromptHistoryTest : public ::testing::Test {
 protected:
  PromptHistory history{{.prompts_max = 3, .tokens_max = 100}};
};

TEST_F(PromptHistoryTest, FindsWhereAPromptLeftAnEarlierOne) {
  history.remember("key", "agent", count_up(20), 16);
  auto tokens = count_up(30);
  tokens[12] = 99;
  const auto match = history.find("key", "agent", tokens);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->common_tokens, 12U);
  EXPECT_EQ(match->kept_tokens, 16U);
  EXPECT_TRUE(match->is_same_agent);
  EXPECT_FALSE(match->is_whole);
}

TEST_F(PromptHistoryTest, SaysWhenAPromptGoesOnFromAllOfAnEarlierOne) {
  history.remember("key", "", count_up(20), 16);
  const auto match = history.find("key", "", count_up(30));
  ASSERT_TRUE(match);
  EXPECT_TRUE(match->is_whole);
  EXPECT_FALSE(match->is_same_agent);
}

TEST_F(PromptHistoryTest, TellsOtherScopesApart) {
  history.remember("one", "", count_up(20), 16);
  EXPECT_FALSE(history.find("two", "", count_up(20)));
  EXPECT_EQ(history.common_elsewhere("two", count_up(15)), 15U);
  EXPECT_EQ(history.common_elsewhere("one", count_up(15)), 0U);
}

TEST_F(PromptHistoryTest, ReplacesATurnByTheNextAndKeepsSideTalks) {
  history.remember("key", "agent", count_up(20), 16);
  history.remember("key", "agent", count_up(5, 50), 0);
  history.remember("key", "agent", count_up(30), 24);
  EXPECT_EQ(history.find("key", "agent", count_up(40))->common_tokens, 30U);
  EXPECT_EQ(history.find("key", "agent", count_up(9, 50))->common_tokens, 5U);
}

TEST_F(PromptHistoryTest, ForgetsTheOldestPromptBeyondItsBounds) {
  for (TokenId i = 0; i < 4; ++i) history.remember("key", "", count_up(10, 100 * i), 8);
  EXPECT_EQ(history.find("key", "", count_up(10))->common_tokens, 0U);
  EXPECT_EQ(history.find("key", "", count_up(10, 100))->common_tokens, 10U);
  history.remember("key", "", count_up(95, 1000), 8);
  EXPECT_EQ(history.find("key", "", count_up(10, 300))->common_tokens, 0U);
  history.remember("key", "", count_up(101, 2000), 8);
  EXPECT_EQ(history.find("key", "", count_up(10, 2000))->common_tokens, 0U);
}

using Match = PromptHistory::Match;

/// A prompt of 100 tokens in blocks of 8, of which 96 could come from the cache.
CacheFacts facts(std::uint32_t read) {
  return {.prompt_tokens = 100, .read_tokens = read, .readable_tokens = 96, .block_tokens = 8};
}

TEST(ExplainCache, SaysThatItIsTheFirstRequest) {
  const auto report = explain_cache(facts(0));
  EXPECT_EQ(report.reason, "first request of this scope");
  EXPECT_FALSE(report.first_difference);
  EXPECT_EQ(report.prompt_tokens, 100U);
}

TEST(ExplainCache, SaysWhereAPromptDiffers) {
  CacheFacts known = facts(40);
  known.match = Match{.common_tokens = 42, .kept_tokens = 96, .is_same_agent = true};
  const auto report = explain_cache(known);
  EXPECT_EQ(report.reason, "differs from the last prompt of this agent at token 42");
  EXPECT_EQ(report.first_difference, 42U);
  EXPECT_EQ(report.read_tokens, 40U);
}

TEST(ExplainCache, SaysThatTheRestIsNew) {
  CacheFacts known = facts(40);
  known.match = Match{.common_tokens = 42, .kept_tokens = 40, .is_whole = true};
  EXPECT_EQ(explain_cache(known).reason, "new from token 42 on");
}

TEST(ExplainCache, SaysThatBlocksWereEvictedOrDamagedOrLate) {
  CacheFacts known = facts(16);
  known.match = Match{.common_tokens = 100, .kept_tokens = 96, .is_whole = true};
  EXPECT_EQ(explain_cache(known).reason, "evicted");
  EXPECT_FALSE(explain_cache(known).first_difference);
  known.was_damaged = true;
  EXPECT_EQ(explain_cache(known).reason, "damaged on disk");
  known.was_damaged = false;
  known.came_too_late = true;
  EXPECT_EQ(explain_cache(known).reason, "the disk was too slow");
}

TEST(ExplainCache, SaysThatBlocksNeverFoundRoom) {
  CacheFacts known = facts(16);
  known.match = Match{.common_tokens = 100, .kept_tokens = 16, .is_whole = true};
  EXPECT_EQ(explain_cache(known).reason, "found no room in the cache");
}

TEST(ExplainCache, SaysThatAnotherKeyHasIt) {
  CacheFacts known = facts(0);
  known.common_elsewhere = 90;
  EXPECT_EQ(explain_cache(known).reason, "another API key");
}

TEST(ExplainCache, HasNothingToExplainWhereAllBlocksWereRead) {
  CacheFacts known = facts(96);
  EXPECT_EQ(explain_cache(known).reason, "less than one block left");
}

TEST(ExplainCache, CountsFromWhatTheDiskKnewWithoutAHistory) {
  const auto report = explain_cache(facts(64));
  EXPECT_EQ(report.reason, "new from token 64 on");
  EXPECT_EQ(report.first_difference, 64U);
}

TEST(ExplainCache, SaysThatTheCacheIsOff) {
  CacheFacts known = facts(0);
  known.uses_cache = false;
  EXPECT_EQ(explain_cache(known).reason, "the prefix cache is off");
}

}  // namespace
}  // namespace onnxlocal
