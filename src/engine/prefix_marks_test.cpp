// What the prefix cache keeps where not all fits: a budget of eight blocks of two tokens.
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "engine/prefix_cache.h"

namespace onnxlocal {
namespace {

using std::chrono::seconds;
using Tokens = std::vector<TokenId>;

constexpr std::uint32_t kBlockTokens = 2;
constexpr std::size_t kBlockBytes = 16;
constexpr std::size_t kBlocksMax = 8;

class PrefixMarksTest : public ::testing::Test {
 protected:
  ~PrefixMarksTest() override { expect_sound(); }

  PrefixCache::Path insert(const Tokens& tokens, CacheRank rank = CacheRank::kAnonymous) {
    auto path = cache.open("key");
    while ((path.blocks() + 1) * kBlockTokens <= tokens.size()) {
      const auto block = std::span(tokens).subspan(path.blocks() * kBlockTokens, kBlockTokens);
      if (cache.follow(path, block)) continue;
      const auto fill = [](std::span<std::byte>) { return Result<void>{}; };
      if (!cache.add(path, block, fill, rank)) break;
    }
    expect_sound();
    return path;
  }
  /// As many blocks as this that nobody else has.
  Tokens other(std::uint32_t blocks) {
    Tokens tokens;
    for (std::uint32_t i = 0; i < blocks * kBlockTokens; ++i) tokens.push_back(next_token++);
    return tokens;
  }
  std::uint32_t found(const Tokens& tokens) {
    auto path = cache.open("key");
    while ((path.blocks() + 1) * kBlockTokens <= tokens.size() &&
           cache.follow(path, std::span(tokens).subspan(path.blocks() * kBlockTokens, 2))) {
    }
    return path.blocks();
  }
  /// What is left of it once others needed all the room.
  std::uint32_t found_after(seconds time, const Tokens& tokens) {
    now += time;
    insert(other(kBlocksMax));
    return found(tokens);
  }
  void pin(const Tokens& tokens, seconds ttl = seconds(300)) {
    const auto path = insert(tokens, CacheRank::kPinned);
    cache.pin(path, path.blocks(), ttl);
  }
  void keep_for_agent(const Tokens& tokens, std::string_view agent) {
    cache.keep_for_agent(insert(tokens, CacheRank::kAgent), agent, /*is_side_talk=*/false);
  }
  void keep_side_talk(const Tokens& tokens, std::string_view agent) {
    cache.keep_for_agent(insert(tokens), agent, /*is_side_talk=*/true);
  }
  void expect_sound() {
    const auto sound = cache.check_invariants();
    EXPECT_TRUE(sound.has_value()) << sound.error().message;
  }

  PrefixCache::TimePoint now{};
  PrefixCache cache{{.bytes_max = kBlocksMax * kBlockBytes,
                     .block_tokens = kBlockTokens,
                     .block_bytes = kBlockBytes,
                     .now = [this] { return now; }}};
  TokenId next_token = 100;
};

TEST_F(PrefixMarksTest, KeepsAPinnedPrefixWhileOthersComeAndGo) {
  const Tokens prompt = other(4);
  pin(prompt);
  for (int i = 0; i < 5; ++i) insert(other(3));
  EXPECT_EQ(found(prompt), 4U);
}

TEST_F(PrefixMarksTest, ProtectsTheBlocksBeforeAPinAndNotThoseBehind) {
  const Tokens prompt = other(6);
  cache.pin(insert(prompt), 2, seconds(300));
  insert(other(6));
  EXPECT_EQ(found(prompt), 2U);
}

TEST_F(PrefixMarksTest, LetsAPinGoWhenItsTimeIsOver) {
  const Tokens prompt = other(4);
  pin(prompt, seconds(300));
  EXPECT_EQ(found_after(seconds(299), prompt), 4U);
  EXPECT_EQ(found_after(seconds(1), prompt), 0U);
}

TEST_F(PrefixMarksTest, ProlongsAPinThatIsAskedForAgain) {
  const Tokens prompt = other(4);
  pin(prompt, seconds(300));
  now += seconds(200);
  pin(prompt, seconds(300));
  EXPECT_EQ(found_after(seconds(200), prompt), 4U);
}

TEST_F(PrefixMarksTest, KeepsTheLongerTimeOfTwoPins) {
  const Tokens prompt = other(4);
  pin(prompt, seconds(3600));
  pin(prompt, seconds(300));
  EXPECT_EQ(found_after(seconds(400), prompt), 4U);
}

TEST_F(PrefixMarksTest, PinsAtMostThreeQuartersOfTheBudget) {
  const Tokens prompt = other(8);
  pin(prompt);
  EXPECT_EQ(cache.marked_bytes(), 6 * kBlockBytes);
  const Tokens newcomer = other(2);
  EXPECT_EQ(insert(newcomer).blocks(), 2U);
  EXPECT_EQ(found(prompt), 6U);
}

TEST_F(PrefixMarksTest, GivesTheOldestPinUpForANewOneWhereAllArePinned) {
  const Tokens old = other(3);
  const Tokens newer = other(3);
  const Tokens newest = other(3);
  pin(old);
  pin(newer);
  pin(newest);
  insert(other(2));
  EXPECT_EQ(found(newer), 3U);
  EXPECT_EQ(found(newest), 3U);
  EXPECT_EQ(found(old), 0U);
}

TEST_F(PrefixMarksTest, CountsASharedPrefixOnce) {
  const Tokens common = other(3);
  Tokens one = common;
  Tokens two = common;
  one.insert(one.end(), {1, 1});
  two.insert(two.end(), {2, 2});
  pin(one);
  pin(two);
  EXPECT_EQ(cache.marked_bytes(), 5 * kBlockBytes);
}

TEST_F(PrefixMarksTest, KeepsAnAgentsLastPrefixFromStrangers) {
  const Tokens talk = other(5);
  keep_for_agent(talk, "one");
  for (int i = 0; i < 5; ++i) insert(other(3));
  EXPECT_EQ(found(talk), 5U);
}

TEST_F(PrefixMarksTest, LetsAPinnedPrefixTakeAnAgentsRoom) {
  const Tokens talk = other(6);
  const Tokens prompt = other(6);
  keep_for_agent(talk, "one");
  pin(prompt);
  EXPECT_EQ(found(prompt), 6U);
  EXPECT_EQ(found(talk), 2U);
}

TEST_F(PrefixMarksTest, LetsNoAgentTakeAPinnedPrefix) {
  const Tokens prompt = other(6);
  pin(prompt);
  keep_for_agent(other(6), "one");
  EXPECT_EQ(found(prompt), 6U);
}

TEST_F(PrefixMarksTest, ForgetsWhatAConversationWentOnFrom) {
  const Tokens talk = other(6);
  keep_for_agent(Tokens(talk.begin(), talk.begin() + 4), "one");
  keep_for_agent(talk, "one");
  EXPECT_EQ(cache.marked_bytes(), 6 * kBlockBytes);
  Tokens turned(talk.begin(), talk.begin() + 6);  // Half of it is new.
  turned.insert(turned.end(), {1, 2, 3, 4});
  keep_for_agent(turned, "one");
  EXPECT_EQ(cache.marked_bytes(), 5 * kBlockBytes);
}

TEST_F(PrefixMarksTest, KeepsAllOfAConversationWhoseNextTurnWasCutShort) {
  const Tokens talk = other(6);
  keep_for_agent(talk, "one");
  keep_for_agent(Tokens(talk.begin(), talk.begin() + 4), "one");
  EXPECT_EQ(cache.marked_bytes(), 6 * kBlockBytes);
}

TEST_F(PrefixMarksTest, KeepsAConversationFromTheSideTalksOfItsOwnAgent) {
  const Tokens talk = other(5);
  keep_for_agent(talk, "one");
  for (int i = 0; i < 10; ++i) keep_side_talk(other(2), "one");
  EXPECT_EQ(found(talk), 5U);
  EXPECT_EQ(cache.marked_bytes(), 5 * kBlockBytes);
}

TEST_F(PrefixMarksTest, HasABoundOnPrefixesOfOneAgent) {
  for (std::size_t i = 0; i < PrefixCache::kPrefixesPerAgent + 3; ++i) {
    keep_for_agent(other(1), "one");
  }
  EXPECT_EQ(cache.marked_bytes(), PrefixCache::kPrefixesPerAgent * kBlockBytes);
}

TEST_F(PrefixMarksTest, RefusesANewcomerRatherThanEvictStrongerBlocks) {
  pin(other(6));
  const auto held = insert(other(2));
  EXPECT_EQ(insert(other(1)).blocks(), 0U);
  EXPECT_EQ(held.blocks(), 2U);
}

TEST_F(PrefixMarksTest, GivesBytesThatOutliveTheBlock) {
  const auto fill = [](std::span<std::byte> bytes) -> Result<void> {
    std::ranges::fill(bytes, std::byte{7});
    return {};
  };
  auto path = cache.open("key");
  ASSERT_TRUE(cache.add(path, Tokens{1, 2}, fill));
  const auto blocks = cache.blocks_of(path, 0);
  path = {};
  insert(other(8));
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_EQ(found({1, 2}), 0U);
  EXPECT_EQ(blocks[0][kBlockBytes - 1], std::byte{7});
}

TEST_F(PrefixMarksTest, StaysSoundUnderRandomUse) {
  std::mt19937 random(3);
  std::vector<PrefixCache::Path> held;
  for (int round = 0; round < 3000 && !HasFailure(); ++round) {
    Tokens tokens(random() % 13);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 3);
    auto path = insert(tokens, static_cast<CacheRank>(random() % 3));
    if (random() % 3 == 0) cache.pin(path, random() % 7, seconds(random() % 50));
    if (random() % 3 == 0) {
      cache.keep_for_agent(path, random() % 2 ? "one" : "two", random() % 2 == 0);
    }
    if (random() % 4 == 0) held.push_back(std::move(path));
    if (held.size() > 2) held.erase(held.begin());
    now += seconds(random() % 5);
    ASSERT_LE(cache.marked_bytes(), cache.bytes_in_use());
  }
}

}  // namespace
}  // namespace onnxlocal
