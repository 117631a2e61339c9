// Slots over pages of a few bytes: each token's byte stands for its keys and values.

#include "runtime/paged_slots.h"

#include <cstring>

#include <gmock/gmock.h>

namespace onnxlocal {
namespace {

using ::testing::ElementsAre;

constexpr SlotId kFirst{0};
constexpr SlotId kSecond{1};
constexpr SlotId kThird{2};

class PagedSlotsTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kPages = 10;
  PagedSlotsTest() : slots_(PagePool::create(kPageTokens, kPages).value(), 4, 256) {}

  /// Appends tokens of this content as a step would.
  Result<void> append(SlotId slot, std::size_t tokens, char content) {
    TRY_VOID(slots_.reserve(slot, tokens));
    for (std::size_t i = 0; i < tokens; ++i) *at(slot, slots_.length(slot) + i) = content;
    slots_.grow(slot, tokens);
    return {};
  }
  std::string text(SlotId slot) {
    std::string out;
    for (std::size_t i = 0; i < slots_.length(slot); ++i) out += *at(slot, i);
    return out;
  }
  PagedSlots& slots() { return slots_; }
  std::uint32_t pages_in_use() const { return kPages - slots_.pool().free_pages(); }

 private:
  char* at(SlotId slot, std::size_t token) {
    const auto page = slots_.pages(slot)[token / kPageTokens];
    return reinterpret_cast<char*>(slots_.pool().bytes(page)) + token % kPageTokens;
  }
  PagedSlots slots_;
};

TEST_F(PagedSlotsTest, TakeAPageForEachThirtyTwoTokens) {
  ASSERT_TRUE(append(kFirst, 32, 'a').has_value());
  EXPECT_EQ(pages_in_use(), 1U);
  ASSERT_TRUE(append(kFirst, 1, 'b').has_value());
  EXPECT_EQ(pages_in_use(), 2U);
  ASSERT_TRUE(append(kFirst, 31, 'c').has_value());
  EXPECT_EQ(pages_in_use(), 2U);
  EXPECT_EQ(text(kFirst), std::string(32, 'a') + "b" + std::string(31, 'c'));
  slots().truncate(kFirst, 0);
  EXPECT_EQ(pages_in_use(), 0U);
}

TEST_F(PagedSlotsTest, ShareWholePagesAndCopyTheLastPartialOne) {
  ASSERT_TRUE(append(kFirst, 80, 'a').has_value());
  ASSERT_TRUE(slots().copy_prefix(kFirst, kSecond, 70).has_value());
  EXPECT_EQ(pages_in_use(), 4U);
  EXPECT_EQ(slots().pages(kFirst)[1], slots().pages(kSecond)[1]);
  EXPECT_NE(slots().pages(kFirst)[2], slots().pages(kSecond)[2]);
  ASSERT_TRUE(append(kSecond, 5, 'b').has_value());
  ASSERT_TRUE(append(kFirst, 5, 'c').has_value());
  EXPECT_EQ(text(kFirst), std::string(80, 'a') + "ccccc");
  EXPECT_EQ(text(kSecond), std::string(70, 'a') + "bbbbb");
}

TEST_F(PagedSlotsTest, CopyASharedPageWhenTheyAppendIntoIt) {
  ASSERT_TRUE(append(kFirst, 64, 'a').has_value());
  ASSERT_TRUE(slots().copy_prefix(kFirst, kSecond, 64).has_value());
  slots().truncate(kSecond, 40);
  EXPECT_EQ(pages_in_use(), 2U);
  ASSERT_TRUE(append(kSecond, 3, 'b').has_value());
  EXPECT_EQ(pages_in_use(), 3U);
  EXPECT_EQ(text(kFirst), std::string(64, 'a'));
  EXPECT_EQ(text(kSecond), std::string(40, 'a') + "bbb");
}

TEST_F(PagedSlotsTest, WriteIntoAPageThatIsTheirOwnAgain) {
  ASSERT_TRUE(append(kFirst, 32, 'a').has_value());
  ASSERT_TRUE(slots().copy_prefix(kFirst, kSecond, 32).has_value());
  slots().truncate(kFirst, 0);
  const auto page = slots().pages(kSecond)[0];
  slots().truncate(kSecond, 10);
  ASSERT_TRUE(append(kSecond, 1, 'b').has_value());
  EXPECT_THAT(slots().pages(kSecond), ElementsAre(page));
}

TEST_F(PagedSlotsTest, KeepWhatTheyHoldWhenNoPageIsLeft) {
  ASSERT_TRUE(append(kFirst, 200, 'a').has_value());
  ASSERT_TRUE(append(kSecond, 40, 'b').has_value());
  const auto failed = append(kSecond, 100, 'c');
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(text(kSecond), std::string(40, 'b'));
  EXPECT_EQ(pages_in_use(), 9U);
  ASSERT_TRUE(append(kSecond, 50, 'd').has_value());
}

TEST_F(PagedSlotsTest, SayWhatIsFreeLessTheCopiesThatAppendingWillTake) {
  EXPECT_EQ(slots().free_tokens(), kPages * kPageTokens);
  ASSERT_TRUE(append(kFirst, 64, 'a').has_value());
  ASSERT_TRUE(slots().copy_prefix(kFirst, kSecond, 64).has_value());
  EXPECT_EQ(slots().free_tokens(), 8U * kPageTokens);
  slots().truncate(kSecond, 33);
  EXPECT_EQ(slots().free_tokens(), 7U * kPageTokens);
  ASSERT_TRUE(append(kSecond, 1, 'b').has_value());
  EXPECT_EQ(slots().free_tokens(), 7U * kPageTokens);
}

TEST_F(PagedSlotsTest, LetWholeBlocksLeaveAndComeBack) {
  ASSERT_TRUE(append(kFirst, 32, 'a').has_value());
  ASSERT_TRUE(append(kFirst, 40, 'b').has_value());
  std::vector<std::byte> bytes(std::size_t{2} * kPageTokens);
  slots().export_blocks(kFirst, 0, bytes);
  ASSERT_TRUE(slots().import_blocks(kThird, bytes).has_value());
  EXPECT_EQ(text(kThird), std::string(32, 'a') + std::string(32, 'b'));
  slots().export_blocks(kFirst, 1, std::span(bytes).first(kPageTokens));
  ASSERT_TRUE(slots().import_blocks(kThird, std::span(bytes).first(kPageTokens)).has_value());
  EXPECT_EQ(slots().length(kThird), 96U);
  EXPECT_EQ(text(kThird).substr(64), std::string(32, 'b'));
}

TEST_F(PagedSlotsTest, RefuseACopyThatHasNoRoomAndStayEmpty) {
  ASSERT_TRUE(append(kFirst, 256, 'a').has_value());
  ASSERT_TRUE(append(kSecond, 64, 'b').has_value());
  EXPECT_TRUE(slots().copy_prefix(kFirst, kThird, 224).has_value());
  slots().truncate(kThird, 0);
  ASSERT_FALSE(slots().copy_prefix(kFirst, kThird, 225).has_value());
  EXPECT_EQ(slots().length(kThird), 0U);
  EXPECT_EQ(pages_in_use(), kPages);
}

}  // namespace
}  // namespace onnxlocal
