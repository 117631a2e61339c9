// The engine with its own thread.
#include "engine/engine.h"

#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "event_recorder.h"
#include "fake_decoder.h"
#include "requests.h"
#include "turnstile.h"

namespace onnxlocal {
namespace {

using std::chrono::hours;

std::unique_ptr<Engine> start(FakeDecoderOptions decoder = {}, EngineOptions options = {}) {
  auto engine =
      Engine::start(std::make_unique<FakeDecoder>(std::move(decoder)), nullptr, std::move(options));
  EXPECT_TRUE(engine.has_value());
  return *std::move(engine);
}

TEST(Engine, RefusesADecoderThatCanRunNothing) {
  EXPECT_FALSE(Engine::start(nullptr, nullptr, {}));
  EXPECT_FALSE(
      Engine::start(std::make_unique<FakeDecoder>(FakeDecoderOptions{.slots = 0}), nullptr, {}));
}

TEST(Engine, AnswersManyThreadsAtOnce) {
  const auto engine = start({.slots = 3});
  const FakeDecoder model;
  std::vector<std::thread> threads;
  for (TokenId i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (TokenId round = 0; round < 5; ++round) {
        EventRecorder recorder;
        ASSERT_TRUE(engine->submit(greedy({i, round}, 10), recorder.sink()));
        const Recorded result = recorder.wait();
        EXPECT_EQ(result.tokens, model.expected_greedy(std::vector<TokenId>{i, round}, 10));
        EXPECT_TRUE(result.violations.empty());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(engine->status().running, 0U);
  EXPECT_EQ(engine->status().sequences_finished, 40U);
}

TEST(Engine, CancelsFromAnotherThread) {
  const auto engine = start({.slot_tokens_max = 1 << 20});
  EventRecorder recorder;
  const auto id = engine->submit(greedy({1}, 1 << 19), recorder.sink());
  ASSERT_TRUE(id);
  recorder.wait_until([](const Recorded& r) { return r.deltas > 2; });
  engine->cancel(*id);
  EXPECT_EQ(recorder.wait().failed->code, ErrorCode::kCancelled);
}

TEST(Engine, FinishesWhatRunsWhenShutDown) {
  const auto engine = start();
  EventRecorder recorder;
  ASSERT_TRUE(engine->submit(greedy({1}, 50), recorder.sink()));
  EXPECT_TRUE(engine->shut_down(Deadline::after(hours(1))));
  EXPECT_TRUE(recorder.now().finished);
  const auto late = engine->submit(greedy({1}, 1), [](GenerationEvent) { ADD_FAILURE(); });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kUnavailable);
}

TEST(Engine, CancelsWhatIsLeftAtTheDeadline) {
  const auto engine = start({.slots = 1, .slot_tokens_max = 1 << 20});
  EventRecorder running;
  EventRecorder waiting;
  ASSERT_TRUE(engine->submit(greedy({1}, 1 << 19), running.sink()));
  ASSERT_TRUE(engine->submit(greedy({1}, 1 << 19), waiting.sink()));
  EXPECT_FALSE(engine->shut_down(Deadline::after(std::chrono::milliseconds(5))));
  EXPECT_EQ(running.now().failed->code, ErrorCode::kCancelled);
  EXPECT_EQ(waiting.now().failed->code, ErrorCode::kCancelled);
}

TEST(Engine, EndsEverySequenceWhenDestroyed) {
  Turnstile gate;
  EventRecorder running;
  EventRecorder sent;
  {
    const auto engine = start({.before_forward = [&](std::span<const Step>) { gate.pass(); }});
    ASSERT_TRUE(engine->submit(greedy({1}, 100), running.sink()));
    ASSERT_TRUE(engine->submit(greedy({2}, 100), sent.sink()));
    gate.open();
  }
  EXPECT_TRUE(running.now().has_ended());
  EXPECT_TRUE(sent.now().has_ended());
}

TEST(Engine, ShowsTheEndsEffectsToWhoSeesTheEnd) {
  const auto engine = start({.slots = 1}, {.queue_max = 0});
  for (int i = 0; i < 200; ++i) {
    EventRecorder recorder;
    ASSERT_TRUE(engine->submit(greedy({1}, 2), recorder.sink())) << "round " << i;
    recorder.wait();
    ASSERT_EQ(engine->status().running, 0U);
  }
}

}  // namespace
}  // namespace onnxlocal
