// Who goes first: live and batch sequences over the fake decoder, step by step.
#include <algorithm>
#include <chrono>
#include <vector>

#include "engine_stepper.h"

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;

TEST(Priority, AdmitsLiveSequencesBeforeBatchSequences) {
  Stepper engine({.slots = 1});
  const auto first = engine.submit_greedy({1}, 3);
  engine.step();
  const auto batch = engine.submit_batch({2}, 3);
  const auto live = engine.submit_greedy({3}, 3);
  EXPECT_TRUE(engine.step());
  EXPECT_EQ(engine.loop->status().queued, 2U);
  EXPECT_EQ(engine.loop->status().queued_batch, 1U);
  while (!live.now().finished) ASSERT_TRUE(engine.step());
  EXPECT_FALSE(batch.now().started);
  engine.run_all();
  EXPECT_TRUE(batch.now().finished);
  EXPECT_EQ(engine.loop->status().preemptions, 0U);
}

TEST(Priority, RunsBatchSequencesBesideLiveOnesWhereThereIsRoom) {
  Stepper engine({.slots = 2});
  const auto live = engine.submit_greedy({1}, 20);
  const auto batch = engine.submit_batch({2}, 5);
  while (!batch.now().finished) ASSERT_TRUE(engine.step());
  EXPECT_FALSE(live.now().finished);
  engine.run_all();
}

TEST(Priority, GoesOnWithAPreemptedSequenceWhereItWas) {
  Stepper engine({.slots = 1, .block_tokens = 8});
  const auto batch = engine.submit_batch(prompt_of(20), 30);
  for (int i = 0; i < 10; ++i) engine.step();
  EXPECT_EQ(batch.now().tokens.size(), 10U);
  const auto live = engine.submit_greedy({5, 6}, 4);
  while (!live.now().finished) ASSERT_TRUE(engine.step());
  EXPECT_EQ(batch.now().tokens.size(), 10U);
  EXPECT_EQ(engine.loop->status().preemptions, 1U);
  engine.run_all();
  const Recorded result = batch.now();
  EXPECT_EQ(result.tokens, engine.decoder->expected_greedy(prompt_of(20), 30));
  EXPECT_TRUE(result.violations.empty());
  EXPECT_EQ(result.finished->usage,
            (Usage{.input_tokens = 4, .cache_creation_tokens = 16, .output_tokens = 30}));
  EXPECT_EQ(engine.loop->status().prompt_tokens, 22U);
}

TEST(Priority, ComputesLittleAgainAfterAPreemption) {
  Stepper engine({.slots = 1, .block_tokens = 8});
  engine.submit_batch(prompt_of(100), 30);
  for (int i = 0; i < 20; ++i) engine.step();
  engine.submit_greedy({5, 6}, 1);
  engine.run_all();
  // 100 and 2, and what stands behind the last whole block.
  EXPECT_LE(engine.loop->status().prefill_tokens, 102U + 8U);
}

TEST(Priority, CountsAPromptOnceThoughItsPrefillWasPreempted) {
  Stepper engine({.slots = 1, .chunk_tokens_max = 16, .block_tokens = 8});
  const auto batch = engine.submit_batch(prompt_of(100), 3);
  engine.step();
  engine.step();
  engine.submit_greedy({5, 6}, 1);
  engine.run_all();
  EXPECT_EQ(batch.now().started, (Usage{.input_tokens = 4, .cache_creation_tokens = 96}));
  EXPECT_EQ(batch.now().tokens, engine.decoder->expected_greedy(prompt_of(100), 3));
  EXPECT_EQ(engine.loop->status().prompt_tokens, 102U);
  EXPECT_EQ(engine.loop->status().preemptions, 1U);
}

TEST(Priority, KeepsTheSamplersStateAcrossAPreemption) {
  const auto request = [] {
    return SequenceRequest{.prompt = prompt_of(9),
                           .sampling = {.temperature = 1.3F,
                                        .repetition_penalty = 1.2F,
                                        .frequency_penalty = 0.7F,
                                        .seed = 3},
                           .tokens_max = 30,
                           .use_prefix_cache = false,
                           .priority = Priority::kBatch};
  };
  Stepper engine({.slots = 1});
  const auto alone = engine.submit(request());
  engine.run_all();
  const auto preempted = engine.submit(request());
  for (int i = 0; i < 30; ++i) {
    if (i % 7 == 3) engine.submit_greedy({1}, 2);
    engine.step();
  }
  engine.run_all();
  EXPECT_GE(engine.loop->status().preemptions, 3U);
  EXPECT_EQ(alone.now().tokens, preempted.now().tokens);
}

TEST(Priority, KeepsAConstraintsStateAcrossAPreemption) {
  const auto request = [] {
    return SequenceRequest{.prompt = prompt_of(9),
                           .sampling = {.temperature = 0},
                           .tokens_max = 20,
                           .constraint = std::make_unique<FakeConstraint>(),
                           .priority = Priority::kBatch};
  };
  ManualMasks masks;
  Stepper engine({.slots = 1}, {}, masks.dispatch());
  const auto run_all = [&] {
    while (engine.step() || masks.waiting() > 0) masks.run_all();
  };
  const auto alone = engine.submit(request());
  run_all();
  const auto preempted = engine.submit(request());
  for (int i = 0; i < 20; ++i) {
    engine.step();
    if (i % 2 == 0) masks.run_all();
  }
  // Now with logits that wait for their mask.
  while (masks.waiting() == 0 || engine.step()) {
  }
  const auto live = engine.submit_greedy({1}, 2);
  engine.run_all();
  EXPECT_TRUE(live.now().finished);
  EXPECT_FALSE(preempted.now().finished);
  run_all();
  EXPECT_EQ(engine.loop->status().preemptions, 1U);
  EXPECT_EQ(alone.now().tokens.size(), 20U);
  EXPECT_EQ(alone.now().tokens, preempted.now().tokens);
}

TEST(Priority, PreemptsTheSequenceThatCameLast) {
  Stepper engine({.slots = 2});
  const auto older = engine.submit_batch({1}, 20);
  const auto newer = engine.submit_batch({2}, 20);
  engine.step();
  engine.step();
  engine.step();
  const auto before = newer.now().tokens.size();
  const auto live = engine.submit_greedy({3}, 10);
  while (!live.now().finished) ASSERT_TRUE(engine.step());
  EXPECT_EQ(newer.now().tokens.size(), before);
  EXPECT_GT(older.now().tokens.size(), before);
  engine.run_all();
  EXPECT_EQ(newer.now().tokens, engine.decoder->expected_greedy(Tokens{2}, 20));
}

TEST(Priority, PreemptsForTheByteBudgetOnlyWhereItHelps) {
  // 8 bytes per token: room for 40 tokens.
  Stepper engine({}, {.kv_bytes_max = 320});
  engine.submit_greedy(prompt_of(10), 10);
  const auto batch = engine.submit_batch({1}, 9);
  engine.step();
  EXPECT_EQ(engine.loop->status().running, 2U);
  const auto large = engine.submit_greedy(prompt_of(20), 5);
  engine.step();
  EXPECT_EQ(engine.loop->status().preemptions, 0U);  // 20 + 25 is too much even without it.
  const auto cancelled = engine.last_id;
  engine.loop->cancel(cancelled);
  engine.submit_greedy(prompt_of(10), 5);
  engine.step();
  EXPECT_EQ(engine.loop->status().preemptions, 1U);
  engine.run_all();
  EXPECT_EQ(batch.now().tokens, engine.decoder->expected_greedy(Tokens{1}, 9));
  EXPECT_TRUE(large.now().failed);
}

TEST(Priority, PreemptsWhereAllSlotsShareOneMemory) {
  Stepper engine({.mixing = StepMixing::kRagged, .block_tokens = 8, .pool_blocks = 8});
  const auto batch = engine.submit_batch(prompt_of(20), 20);
  for (int i = 0; i < 5; ++i) engine.step();
  const auto live = engine.submit_greedy(prompt_of(20, 50), 20);
  while (!live.now().finished) ASSERT_TRUE(engine.step());
  EXPECT_FALSE(batch.now().finished);
  engine.run_all();
  EXPECT_EQ(batch.now().tokens, engine.decoder->expected_greedy(prompt_of(20), 20));
}

TEST(Priority, ComputesLivePromptsBeforeBatchPrompts) {
  for (const auto mixing : {StepMixing::kRagged, StepMixing::kChunkOrSingles}) {
    Stepper engine({.chunk_tokens_max = 16, .mixing = mixing});
    const auto batch = engine.submit_batch(prompt_of(64), 1);
    const auto live = engine.submit_greedy(prompt_of(64, 80), 1);
    for (int i = 0; i < 4; ++i) engine.step();
    EXPECT_TRUE(live.now().finished);
    EXPECT_FALSE(batch.now().started);
    engine.run_all();
  }
}

/// One slot, a clock of the test's own, and a live sequence that waits at each moment.
class BusyEngine {
 public:
  explicit BusyEngine(FakeDecoderOptions decoder = {.slots = 1, .block_tokens = 8})
      : engine(std::move(decoder), {.now = [this] { return now; }}) {}

  /// A second per step.
  void step() {
    if (engine.loop->status().queued == engine.loop->status().queued_batch) {
      live.push_back(engine.submit_greedy({5, 6}, 4));
    }
    now += std::chrono::seconds(1);
    ASSERT_TRUE(engine.step());
  }
  std::size_t live_finished() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        live, [](const auto& one) { return one.now().finished.has_value(); }));
  }

  std::chrono::steady_clock::time_point now;
  Stepper engine;
  std::vector<EventRecorder> live;
};

TEST(Priority, GivesABatchSequenceATurnUnderLiveLoadThatNeverPauses) {
  BusyEngine busy;
  const auto batch = busy.engine.submit_batch(prompt_of(20), 30);
  for (int i = 0; i < 59; ++i) busy.step();
  EXPECT_FALSE(batch.now().started);
  for (int i = 0; i < 20; ++i) busy.step();
  EXPECT_TRUE(batch.now().started);
  const auto tokens_of_one_turn = batch.now().tokens.size();
  for (int i = 0; i < 40; ++i) busy.step();
  EXPECT_EQ(batch.now().tokens.size(), tokens_of_one_turn);  // The turn was over.
  while (!batch.now().finished) busy.step();
  EXPECT_EQ(batch.now().tokens, busy.engine.decoder->expected_greedy(prompt_of(20), 30));
  EXPECT_GT(busy.live_finished(), 2 * batch.now().tokens.size());
}

TEST(Priority, GivesTurnsToOneBatchSequenceAtATime) {
  BusyEngine busy;
  const auto first = busy.engine.submit_batch(prompt_of(20), 20);
  const auto second = busy.engine.submit_batch(prompt_of(20, 60), 20);
  while (!first.now().finished) {
    busy.step();
    ASSERT_FALSE(second.now().started);
  }
  while (!second.now().finished) busy.step();
}

TEST(Priority, LetsATurnComputeAPromptOfAnyLength) {
  BusyEngine busy({.slots = 1, .chunk_tokens_max = 8, .block_tokens = 8});
  const auto batch = busy.engine.submit_batch(prompt_of(200), 2);  // 25 steps, with a second each.
  for (int i = 0; i < 95; ++i) busy.step();
  EXPECT_TRUE(batch.now().finished);
}

TEST(Priority, GivesATurnToABatchPromptThatHasASlotAndIsNeverComputed) {
  BusyEngine busy({.slots = 2, .chunk_tokens_max = 8, .mixing = StepMixing::kRagged});
  const auto batch = busy.engine.submit_batch(prompt_of(64), 1);
  std::vector<EventRecorder> live;
  for (int i = 0; i < 100 && !batch.now().finished; ++i) {
    // Always a live prompt that fills the step.
    if (i % 8 == 0) live.push_back(busy.engine.submit_greedy(prompt_of(64, 80 + i), 1));
    busy.now += std::chrono::seconds(1);
    ASSERT_TRUE(busy.engine.step());
    if (i == 50) {
      EXPECT_FALSE(batch.now().started);
    }
  }
  EXPECT_TRUE(batch.now().finished);
  busy.engine.run_all();
}

TEST(Priority, EndsATurnWithItsSequence) {
  BusyEngine busy;
  busy.engine.submit_batch(prompt_of(20), 100);
  const auto cancelled = busy.engine.last_id;
  const auto next = busy.engine.submit_batch(prompt_of(20, 60), 2);
  for (int i = 0; i < 66; ++i) busy.step();
  busy.engine.loop->cancel(cancelled);
  for (int i = 0; i < 70; ++i) busy.step();
  EXPECT_TRUE(next.now().finished);
}

TEST(Priority, LeavesTheQueueForLiveRequestsToThem) {
  Stepper engine({.slots = 1}, {.queue_max = 1, .batch_queue_max = 2});
  for (int i = 0; i < 3; ++i) engine.submit_batch({1}, 2);
  const Error error =
      engine.refused({.prompt = {1}, .tokens_max = 1, .priority = Priority::kBatch});
  EXPECT_EQ(error.code, ErrorCode::kOverloaded);
  engine.submit_greedy({1}, 1);
  engine.submit_greedy({1}, 1);
  EXPECT_EQ(engine.refused({.prompt = {1}, .tokens_max = 1}).code, ErrorCode::kOverloaded);
  engine.run_all();
  EXPECT_EQ(engine.loop->status().sequences_finished, 5U);
}

TEST(Priority, CancelsWhatWasPreempted) {
  Stepper engine({.slots = 1});
  const auto batch = engine.submit_batch({1}, 20);
  const auto id = engine.last_id;
  engine.step();
  engine.step();
  engine.submit_greedy({2}, 5);
  engine.step();
  engine.loop->cancel(id);
  engine.run_all();
  EXPECT_EQ(batch.now().failed->code, ErrorCode::kCancelled);
  EXPECT_EQ(batch.now().tokens.size(), 2U);
  EXPECT_TRUE(batch.now().violations.empty());
}

}  // namespace
}  // namespace onnxlocal
