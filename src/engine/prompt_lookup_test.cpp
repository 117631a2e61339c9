#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "engine/drafter.h"

namespace onnxlocal {
namespace {

/// One sequence that grows.
struct Text {
  std::unique_ptr<Drafter> drafter = make_prompt_lookup(2);
  std::vector<TokenId> tokens;
  SlotId slot{0};
  std::uint32_t kind = 0;  ///< Of the last guess.

  std::vector<TokenId> guess(std::uint32_t tokens_max) {
    const DraftSource source{.slot = slot, .tokens = tokens};
    const DraftPrepared prepared = drafter->prepare(source, tokens_max);
    kind = prepared.kind;
    std::vector<TokenId> draft;
    if (prepared.tokens_max == 0) return draft;
    const DraftRequest request{
        .source = source, .tokens_max = prepared.tokens_max, .draft = &draft};
    drafter->draft({&request, 1});
    return draft;
  }
  void add(const std::vector<TokenId>& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
  }
};

using Tokens = std::vector<TokenId>;

TEST(PromptLookup, GuessesWhatFollowedTheLastTokensBefore) {
  Text text;
  text.add({1, 2, 3, 4, 5, 6, 7, 2, 3});
  EXPECT_EQ(text.guess(3), (Tokens{4, 5, 6}));
  text.add({4});
  EXPECT_EQ(text.guess(2), (Tokens{5, 6}));
}

TEST(PromptLookup, GuessesNothingWhereNothingWasSaidBefore) {
  Text text;
  EXPECT_EQ(text.guess(4), Tokens{});
  text.add({1});
  EXPECT_EQ(text.guess(4), Tokens{});
  text.add({2, 3, 4, 2});  // One token alone tells nothing.
  EXPECT_EQ(text.guess(4), Tokens{});
}

TEST(PromptLookup, PrefersTheLongestMatchAndThenTheLatest) {
  Text text;
  text.add({1, 2, 3, 50, 9, 2, 3, 60, 8, 2, 3, 70, 9, 2, 3});
  EXPECT_EQ(text.guess(1), (Tokens{60}));
  Text other;
  other.add({5, 2, 3, 60, 6, 2, 3, 70, 7, 2, 3});
  EXPECT_EQ(other.guess(1), (Tokens{70}));
}

TEST(PromptLookup, PrefersALongMatchThatIsFarBackToShortOnesNearby) {
  Text text;
  text.add({11, 12, 13, 14, 99});
  for (int i = 0; i < 30; ++i) text.add({static_cast<TokenId>(20 + i), 13, 14, 98});
  text.add({11, 12, 13, 14});
  EXPECT_EQ(text.guess(1), (Tokens{99}));
}

TEST(PromptLookup, FindsItsPlaceAgainBehindAWordThatWasReplaced) {
  Text text;
  for (TokenId i = 0; i < 30; ++i) text.add({i});
  text.add({90, 3, 4, 5});
  EXPECT_EQ(text.guess(1), (Tokens{6}));
  text.add({91, 92});
  EXPECT_EQ(text.guess(1), Tokens{});
  text.add({7});
  EXPECT_EQ(text.guess(2), (Tokens{8, 9}));
  text.add({93, 94, 25});  // Far from the place: one token tells nothing.
  EXPECT_EQ(text.guess(2), Tokens{});
}

TEST(PromptLookup, TellsGuessesFromLongMatchesApart) {
  Text text;
  for (TokenId i = 0; i < 30; ++i) text.add({i});
  std::vector<std::uint32_t> kinds;
  for (TokenId i = 5; i < 19; ++i) {
    text.add({i});
    text.guess(1);
    kinds.push_back(text.kind);
  }
  EXPECT_EQ(kinds, (std::vector<std::uint32_t>{0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2}));
}

TEST(PromptLookup, GoesOnWithATextThatRepeatsItself) {
  Text text;
  text.add({7, 1, 2, 1, 2});
  EXPECT_EQ(text.guess(5), (Tokens{1, 2, 1, 2, 1}));
}

TEST(PromptLookup, StaysAtThePlaceThatItCopiesFrom) {
  Text text;
  // The same four tokens stand everywhere; only the place that was followed tells what comes.
  Tokens page;
  for (TokenId i = 0; i < 40; ++i) {
    for (const TokenId token : {1, 2, 3, 4, 100 + i}) page.push_back(token);
  }
  text.add(page);
  text.add({1, 2, 3, 4, 100});
  for (TokenId i = 1; i < 40; ++i) {
    ASSERT_EQ(text.guess(5), (Tokens{1, 2, 3, 4, 100 + i})) << i;
    text.add({1, 2, 3, 4, 100 + i});
  }
}

TEST(PromptLookup, IndexesALongPromptOverSeveralSteps) {
  Text text;
  text.tokens.resize(20000);
  std::iota(text.tokens.begin(), text.tokens.end(), 0);
  text.add({5, 6});
  EXPECT_EQ(text.guess(1), Tokens{});
  EXPECT_EQ(text.guess(1), Tokens{});
  EXPECT_EQ(text.guess(1), (Tokens{7}));
}

TEST(PromptLookup, KeepsSlotsApartAndForgetsThem) {
  Text text;
  text.add({1, 2, 3, 1, 2});
  EXPECT_EQ(text.guess(1), (Tokens{3}));
  Text next{.drafter = std::move(text.drafter), .tokens = {1, 2}};
  next.slot = SlotId{1};
  EXPECT_EQ(next.guess(1), Tokens{});
  next.slot = SlotId{0};
  next.drafter->forget(SlotId{0});
  EXPECT_EQ(next.guess(1), Tokens{});
  next.add({8, 1, 2});
  EXPECT_EQ(next.guess(1), (Tokens{8}));
}

}  // namespace
}  // namespace onnxlocal
