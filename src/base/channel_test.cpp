#include "base/channel.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

namespace onnxlocal {
namespace {

using std::chrono::milliseconds;

TEST(Channel, KeepsTheOrder) {
  Channel<int> channel(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(channel.push(int{i}), ChannelPush::kAccepted);
  EXPECT_EQ(channel.size(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(channel.try_pop(), i);
  EXPECT_EQ(channel.try_pop(), std::nullopt);
}

TEST(Channel, AnswersFullAndLeavesTheValueWithTheCaller) {
  Channel<std::unique_ptr<int>> channel(1);
  EXPECT_EQ(channel.push(std::make_unique<int>(1)), ChannelPush::kAccepted);
  auto second = std::make_unique<int>(2);
  EXPECT_EQ(channel.push(std::move(second)), ChannelPush::kFull);
  // NOLINTNEXTLINE(bugprone-use-after-move): a full channel moves nothing.
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*second, 2);
}

TEST(Channel, GivesWhatWasAcceptedAfterClose) {
  Channel<int> channel(2);
  EXPECT_EQ(channel.push(7), ChannelPush::kAccepted);
  channel.close();
  EXPECT_TRUE(channel.is_closed());
  EXPECT_EQ(channel.push(8), ChannelPush::kClosed);
  EXPECT_EQ(channel.pop(), 7);
  EXPECT_EQ(channel.pop(), std::nullopt);
}

TEST(Channel, PopReturnsEmptyAtTheDeadline) {
  Channel<int> channel(1);
  const auto start = Deadline::Clock::now();
  EXPECT_EQ(channel.pop(Deadline::after(milliseconds(5))), std::nullopt);
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(5));
}

TEST(Channel, WakesAWaitingReaderForAValueAndForClose) {
  Channel<int> channel(1);
  std::optional<int> first;
  std::optional<int> second = 0;
  std::thread reader([&] {
    first = channel.pop();
    second = channel.pop();
  });
  EXPECT_EQ(channel.push(1), ChannelPush::kAccepted);
  channel.close();
  reader.join();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, std::nullopt);
}

TEST(Channel, LosesNothingBetweenManyThreads) {
  constexpr int kWriters = 4;
  constexpr int kValuesEach = 1000;
  Channel<int> channel(8);
  std::vector<std::thread> writers;
  writers.reserve(kWriters);
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&channel] {
      for (int value = 1; value <= kValuesEach; ++value) {
        while (channel.push(int{value}) == ChannelPush::kFull) std::this_thread::yield();
      }
    });
  }
  std::int64_t sum = 0;
  for (int i = 0; i < kWriters * kValuesEach; ++i) sum += channel.pop().value_or(0);
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(sum, std::int64_t{kWriters} * kValuesEach * (kValuesEach + 1) / 2);
}

TEST(Deadline, IsUnreachableByDefaultAndForHugeDurations) {
  EXPECT_TRUE(Deadline().is_unreachable());
  EXPECT_FALSE(Deadline().has_passed());
  EXPECT_TRUE(Deadline::after(Deadline::Clock::duration::max()).is_unreachable());
  EXPECT_EQ(Deadline().left(), Deadline::Clock::duration::max());
}

TEST(Deadline, PassesAndThenHasNothingLeft) {
  const auto deadline = Deadline::after(milliseconds(0));
  EXPECT_TRUE(deadline.has_passed());
  EXPECT_EQ(deadline.left(), Deadline::Clock::duration::zero());
}

}  // namespace
}  // namespace onnxlocal
