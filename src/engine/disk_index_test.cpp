#include "engine/disk_index.h"

#include <random>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;
constexpr DiskKey kScope = {std::byte{1}};
constexpr DiskKey kOther = {std::byte{2}};

class DiskIndexTest : public ::testing::Test {
 protected:
  ~DiskIndexTest() override { expect_sound(index); }
  static void expect_sound(const DiskIndex& index) {
    const auto sound = index.check_invariants();
    EXPECT_TRUE(sound) << sound.error().message;
  }
  /// Stores what is not there yet; returns the last block's id.
  std::uint64_t store(const Tokens& tokens, const DiskKey& scope = kScope) {
    auto ids = index.find(scope, tokens, now);
    while ((ids.size() + 1) * 2 <= tokens.size()) {
      const auto id = index.add(ids.empty() ? 0 : ids.back(), scope,
                                std::span(tokens).subspan(ids.size() * 2, 2), now, next_id++);
      index.set_stored(id, {.slot = next_slot++}, 0);
      ids.push_back(id);
    }
    return ids.empty() ? 0 : ids.back();
  }
  std::size_t found(const Tokens& tokens, const DiskKey& scope = kScope) {
    return index.find(scope, tokens, now).size();
  }
  std::vector<std::pair<DiskPlace, SegmentEntry>> entries_of(std::uint64_t last_id) {
    std::vector<std::pair<DiskPlace, SegmentEntry>> entries;
    for (std::uint64_t id = 1; id <= last_id; ++id) {
      if (const auto* block = index.get(id)) entries.emplace_back(*block->place, block->entry);
    }
    return entries;
  }

  static constexpr std::size_t kPinnedMax = 20;
  DiskIndex index{2, kPinnedMax};
  std::uint64_t next_id = 1;
  std::uint32_t next_slot = 0;
  std::uint64_t now = 100;
};

TEST_F(DiskIndexTest, FindsTheLongestPrefixInItsScope) {
  store({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(found({1, 2, 3, 4, 9, 9}), 2U);
  EXPECT_EQ(found({3, 4}), 0U);
  EXPECT_EQ(found({1, 2}, kOther), 0U);
}

TEST_F(DiskIndexTest, EvictsLeavesByUse) {
  const auto first = store({1, 2, 3, 4});
  const auto second = store({5, 6});
  EXPECT_EQ(index.weakest(), first);
  found({1, 2, 3, 4});
  EXPECT_EQ(index.weakest(), second);
  EXPECT_EQ(index.remove(second).size(), 1U);
  EXPECT_EQ(index.remove(first).size(), 1U);
  EXPECT_EQ(found({1, 2, 3, 4}), 1U);
}

TEST_F(DiskIndexTest, NeverEvictsWhatSomethingWaitsBehind) {
  const auto parent = store({1, 2});
  index.add(parent, kScope, Tokens{3, 4}, now, 50);
  EXPECT_FALSE(index.weakest());
}

TEST_F(DiskIndexTest, RemovesAllThatHangsOnABlock) {
  const auto first = store({1, 2});
  store({1, 2, 3, 4, 5, 6});
  store({1, 2, 7, 8});
  store({9, 9});
  EXPECT_EQ(index.remove(first).size(), 4U);
  EXPECT_EQ(index.stored_blocks(), 1U);
  EXPECT_TRUE(index.remove(first).empty());
}

TEST_F(DiskIndexTest, LoadsWhatItHadInTheOrderOfUse) {
  store({1, 2, 3, 4});
  now = 200;
  const auto later = store({5, 6});
  now = 300;
  found({1, 2, 3, 4});
  DiskIndex loaded(2);
  EXPECT_TRUE(loaded.load(entries_of(next_id), now).empty());
  EXPECT_EQ(loaded.find(kScope, Tokens{1, 2, 3, 4}, 0).size(), 2U);
  expect_sound(loaded);
  DiskIndex again(2);
  again.load(entries_of(next_id), now);
  EXPECT_EQ(again.weakest(), later);
}

TEST_F(DiskIndexTest, DropsEntriesThatHangOnNothingOrContradictOthers) {
  store({1, 2, 3, 4, 5, 6});
  auto entries = entries_of(next_id);
  auto other_scope = entries[2];
  other_scope.first.slot = 50;
  other_scope.second.id = 70;
  other_scope.second.scope = kOther;
  auto same_tokens = entries[2];
  same_tokens.first.slot = 51;
  same_tokens.second.id = 71;
  auto same_id = entries[2];
  same_id.first.slot = 52;
  same_id.second.tokens = {8, 8};
  auto orphan = entries[2];
  orphan.first.slot = 53;
  orphan.second.id = 72;
  orphan.second.parent = 1000;
  auto own_parent = entries[2];
  own_parent.first.slot = 54;
  own_parent.second.id = own_parent.second.parent = 73;
  auto short_one = entries[2];
  short_one.first.slot = 55;
  short_one.second.id = 74;
  short_one.second.tokens = {1};
  for (const auto& bad : {other_scope, same_tokens, same_id, orphan, own_parent, short_one}) {
    entries.push_back(bad);
  }
  DiskIndex loaded(2);
  // Of two with one id, either may be the one.
  EXPECT_GE(loaded.load(entries, now).size(), 5U);
  EXPECT_GE(loaded.stored_blocks(), 3U);
  expect_sound(loaded);
}

TEST_F(DiskIndexTest, EvictsNothingThatIsPinned) {
  const auto pinned = store({1, 2, 3, 4});
  index.pin(pinned, now + 10);
  EXPECT_FALSE(index.weakest());
  EXPECT_EQ(index.pinned_blocks(), 2U);
  const auto behind = store({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(index.weakest(), behind);
  index.remove(behind);
  index.expire_pins(now + 9);
  EXPECT_FALSE(index.weakest());
  index.expire_pins(now + 10);
  EXPECT_EQ(index.weakest(), pinned);
  EXPECT_EQ(index.pinned_blocks(), 0U);
}

TEST_F(DiskIndexTest, PinsForLongerNeverForLess) {
  const auto pinned = store({1, 2});
  index.pin(pinned, now + 10);
  index.pin(pinned, now + 5);
  index.expire_pins(now + 7);
  EXPECT_FALSE(index.weakest());
  index.pin(pinned, now + 20);
  index.expire_pins(now + 15);
  EXPECT_FALSE(index.weakest());
}

TEST_F(DiskIndexTest, DropsThePinsThatEndFirstWhereTheyAreTooMuch) {
  DiskIndex small(2, 3);
  const auto add = [&](std::uint64_t parent, const Tokens& tokens) {
    const auto id = small.add(parent, kScope, tokens, now, next_id++);
    small.set_stored(id, {.slot = next_slot++}, 0);
    return id;
  };
  const auto first = add(0, {1, 1});
  const auto second = add(0, {2, 2});
  small.pin(second, now + 10);
  small.pin(first, now + 20);
  const auto third = add(add(0, {3, 3}), {4, 4});
  small.pin(third, now + 5);
  EXPECT_EQ(small.pinned_blocks(), 3U);
  EXPECT_EQ(small.weakest(), second);
  expect_sound(small);
}

TEST_F(DiskIndexTest, PinsTheBeginningOfWhatIsTooLong) {
  DiskIndex small(2, 2);
  std::uint64_t id = 0;
  for (TokenId i = 0; i < 4; ++i) {
    id = small.add(id, kScope, Tokens{i, i}, now, next_id++);
    small.set_stored(id, {.slot = next_slot++}, 0);
  }
  small.pin(id, now + 10);
  EXPECT_EQ(small.pinned_blocks(), 2U);
  while (const auto weakest = small.weakest()) small.remove(*weakest);
  EXPECT_EQ(small.stored_blocks(), 2U);
  expect_sound(small);
}

TEST_F(DiskIndexTest, KeepsAPinOnWhatIsLeftOfAPrefix) {
  const auto begin = store({1, 2});
  const auto damaged = store({1, 2, 3, 4});
  index.pin(store({1, 2, 3, 4, 5, 6}), now + 10);
  EXPECT_EQ(index.remove(damaged).size(), 2U);
  EXPECT_EQ(index.pinned_blocks(), 1U);
  EXPECT_EQ(index.get(begin)->entry.pinned_until, now + 10);
}

TEST_F(DiskIndexTest, LoadsPinsThatAreNotOver) {
  index.pin(store({1, 2}), now + 10);
  index.pin(store({3, 4}), now + 20);
  DiskIndex loaded(2);
  loaded.load(entries_of(next_id), now + 10);
  EXPECT_EQ(loaded.pinned_blocks(), 1U);
  expect_sound(loaded);
  // Whatever clock wrote them.
  DiskIndex earlier(2);
  earlier.load(entries_of(next_id), 0);
  EXPECT_EQ(earlier.pinned_blocks(), 2U);
  earlier.expire_pins(DiskIndex::kPinSecondsMax);
  EXPECT_EQ(earlier.pinned_blocks(), 0U);
}

TEST_F(DiskIndexTest, SaysOnceWhatWasUsed) {
  store({1, 2, 3, 4});
  EXPECT_TRUE(index.take_touched().empty());
  now = 101;
  found({1, 2});
  const auto touched = index.take_touched();
  ASSERT_EQ(touched.size(), 1U);
  EXPECT_EQ(touched[0].second.last_use, 101U);
  EXPECT_TRUE(index.take_touched().empty());
}

TEST_F(DiskIndexTest, StaysSoundUnderRandomUse) {
  std::mt19937 random(9);
  for (int round = 0; round < 2000 && !HasFailure(); ++round) {
    Tokens tokens(random() % 9);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 3);
    store(tokens, random() % 2 ? kScope : kOther);
    if (random() % 3 == 0) {
      if (const auto id = index.weakest()) index.remove(*id);
    }
    if (random() % 50 == 0) index.remove(random() % next_id);
    const auto ids = index.find(kScope, tokens, now);
    if (!ids.empty() && random() % 4 == 0) index.pin(ids.back(), now + random() % 50);
    index.expire_pins(++now);
    if (round % 20 == 0) expect_sound(index);
  }
}

}  // namespace
}  // namespace onnxlocal
