#include "engine/prefix_cache.h"

#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

constexpr std::uint32_t kBlockTokens = 2;
constexpr std::size_t kBlockBytes = 16;

using Tokens = std::vector<TokenId>;

class PrefixCacheTest : public ::testing::Test {
 protected:
  /// Follows what is there, adds the rest; returns how many blocks were there and how many are now.
  struct Blocks {
    std::uint32_t found = 0;
    std::uint32_t now = 0;
    friend bool operator==(const Blocks&, const Blocks&) = default;
  };
  Blocks insert(const Tokens& tokens, std::string_view scope = "key") {
    auto path = cache.open(scope);
    return extend(path, tokens);
  }
  Blocks extend(PrefixCache::Path& path, const Tokens& tokens) {
    Blocks blocks;
    while ((path.blocks() + 1) * kBlockTokens <= tokens.size()) {
      const auto block = std::span(tokens).subspan(path.blocks() * kBlockTokens, kBlockTokens);
      if (cache.follow(path, block)) {
        ++blocks.found;
      } else if (!cache.add(path, block, [&](std::span<std::byte> bytes) -> Result<void> {
                   std::memcpy(bytes.data(), block.data(), block.size_bytes());
                   return {};
                 })) {
        break;
      }
    }
    blocks.now = path.blocks();
    expect_sound();
    return blocks;
  }
  std::uint32_t found(const Tokens& tokens, std::string_view scope = "key") {
    auto path = cache.open(scope);
    while ((path.blocks() + 1) * kBlockTokens <= tokens.size() &&
           cache.follow(path, std::span(tokens).subspan(path.blocks() * kBlockTokens, 2))) {
    }
    return path.blocks();
  }
  void expect_sound() {
    const auto sound = cache.check_invariants();
    EXPECT_TRUE(sound.has_value()) << sound.error().message;
  }

  PrefixCache cache{
      {.bytes_max = 4 * kBlockBytes, .block_tokens = kBlockTokens, .block_bytes = kBlockBytes}};
};

TEST_F(PrefixCacheTest, FindsTheLongestCommonPrefixInWholeBlocks) {
  insert({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(found({1, 2, 3, 4, 5, 6, 7, 8}), 3U);
  EXPECT_EQ(found({1, 2, 3, 4, 9, 9}), 2U);
  EXPECT_EQ(found({1, 2, 3}), 1U);
  EXPECT_EQ(found({9, 2, 3, 4}), 0U);
}

TEST_F(PrefixCacheTest, GivesBackTheBytesOfABlock) {
  insert({1, 2, 3, 4});
  auto path = cache.open("key");
  const Tokens first{1, 2};
  ASSERT_TRUE(cache.follow(path, first));
  TokenId token = 0;
  std::memcpy(&token, cache.bytes(path).data() + sizeof(TokenId), sizeof(token));
  EXPECT_EQ(token, 2);
}

TEST_F(PrefixCacheTest, SharesAPrefixBetweenBranches) {
  EXPECT_EQ(insert({1, 2, 3, 4}), (Blocks{0, 2}));
  EXPECT_EQ(insert({1, 2, 5, 6}), (Blocks{1, 2}));
  EXPECT_EQ(cache.blocks(), 3U);
}

TEST_F(PrefixCacheTest, DoesNotFindABlockBehindAnotherPrefix) {
  insert({1, 2, 3, 4});
  insert({5, 6});
  EXPECT_EQ(found({5, 6, 3, 4}), 1U);
}

TEST_F(PrefixCacheTest, SharesNothingAcrossScopes) {
  insert({1, 2}, "one");
  EXPECT_EQ(found({1, 2}, "two"), 0U);
  EXPECT_EQ(found({1, 2}, "one"), 1U);
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedLeafFirst) {
  insert({1, 2, 3, 4});
  insert({5, 6, 7, 8});
  EXPECT_EQ(found({1, 2, 3, 4}), 2U);  // Used again.
  insert({9, 9});
  EXPECT_EQ(found({5, 6, 7, 8}), 1U);
  EXPECT_EQ(found({1, 2, 3, 4}), 2U);
  EXPECT_EQ(cache.bytes_in_use(), 4 * kBlockBytes);
}

TEST_F(PrefixCacheTest, KeepsEntriesThatAreInUse) {
  insert({1, 2, 3, 4});
  auto path = cache.open("key");
  const Tokens first{1, 2};
  const Tokens second{3, 4};
  ASSERT_TRUE(cache.follow(path, first) && cache.follow(path, second));
  EXPECT_EQ(insert({5, 6, 7, 8, 9, 10}), (Blocks{0, 2}));
  EXPECT_EQ(found({1, 2, 3, 4}), 2U);
  path = {};
  expect_sound();
  insert({11, 12, 13, 14, 15, 16, 17, 18});
  EXPECT_EQ(found({1, 2}), 0U);
}

TEST_F(PrefixCacheTest, StopsWhereItsOwnPathFillsTheBudget) {
  EXPECT_EQ(insert({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), (Blocks{0, 4}));
}

TEST_F(PrefixCacheTest, AddsNothingWhenTheFillFails) {
  auto path = cache.open("key");
  const Tokens tokens{1, 2};
  EXPECT_FALSE(cache.add(path, tokens, [](std::span<std::byte>) -> Result<void> {
    return std::unexpected(internal_error("no"));
  }));
  EXPECT_EQ(cache.blocks(), 0U);
  EXPECT_EQ(path.blocks(), 0U);
}

TEST(PrefixCache, KeepsNothingWithoutABudget) {
  PrefixCache cache({.bytes_max = 0, .block_tokens = 1, .block_bytes = 8});
  auto path = cache.open("");
  const Tokens tokens{1};
  EXPECT_FALSE(cache.add(path, tokens, [](std::span<std::byte>) { return Result<void>{}; }));
}

TEST_F(PrefixCacheTest, StaysSoundUnderRandomUse) {
  std::mt19937 random(11);
  std::vector<PrefixCache::Path> held;
  for (int round = 0; round < 4000; ++round) {
    Tokens tokens(random() % 9);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 3);
    auto path = cache.open(random() % 2 ? "one" : "two");
    extend(path, tokens);
    if (random() % 3 == 0) held.push_back(std::move(path));
    if (held.size() > 3) held.erase(held.begin() + static_cast<std::ptrdiff_t>(random() % 3));
    ASSERT_LE(cache.bytes_in_use(), 4 * kBlockBytes);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace onnxlocal
