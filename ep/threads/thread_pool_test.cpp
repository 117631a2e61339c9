#include "threads/thread_pool.h"

#include <ctime>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <semaphore>
#include <thread>
#include <vector>

namespace onnxlocal::ep {
namespace {

TEST(ThreadPool, EveryTaskRunsOnce) {
  ThreadPool pool(4);
  for (const std::size_t tasks : {0U, 1U, 2U, 3U, 100U, 1000U}) {
    std::vector<std::atomic<int>> runs(tasks);
    pool.run(tasks, [&](std::size_t task) { ++runs[task]; });
    for (const auto& count : runs) EXPECT_EQ(count, 1);
  }
}

TEST(ThreadPool, ARunIsDoneWhenItReturns) {
  ThreadPool pool(3);
  for (int round = 0; round < 20000; ++round) {
    int values[8] = {};
    pool.run(8, [&](std::size_t task) { values[task] = round; });
    for (const int value : values) ASSERT_EQ(value, round);
  }
}

TEST(ThreadPool, SeveralCallersTakeTurns) {
  ThreadPool pool(2);
  std::atomic<int> total = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        for (int round = 0; round < 500; ++round) pool.run(5, [&](std::size_t) { ++total; });
      });
    }
  }
  EXPECT_EQ(total, 4 * 500 * 5);
}

TEST(ThreadPool, OneThreadRunsAllOnTheCaller) {
  ThreadPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  pool.run(3, [&](std::size_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
  EXPECT_EQ(pool.threads(), 1U);
}

TEST(ThreadPool, AnIdlePoolUsesNoProcessorTime) {
  ThreadPool pool(4);
  std::atomic<int> total = 0;
  pool.run(64, [&](std::size_t) { ++total; });
  EXPECT_EQ(total, 64);
  // Processor time of the whole process over some wall time in which it only waits.
  const auto processor_seconds = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double before = processor_seconds();
  std::binary_semaphore never(0);
  EXPECT_FALSE(never.try_acquire_for(std::chrono::milliseconds(300)));
  EXPECT_LT(processor_seconds() - before, 0.05);
}

TEST(UsableCores, AreAtLeastOneAndAtMostWhatTheMachineHas) {
  EXPECT_GE(usable_cores(), 1U);
  EXPECT_LE(usable_cores(), std::thread::hardware_concurrency());
}

}  // namespace
}  // namespace onnxlocal::ep
