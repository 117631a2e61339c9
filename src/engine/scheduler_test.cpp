#include "engine/scheduler.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

constexpr ChunkRule kRule{.tokens = 16, .block_tokens = 4, .step_tokens_max = 32};

/// Runs plans against views until all prompts are computed.
struct Bench {
  std::vector<SequenceView> views;
  StepMixing mixing = StepMixing::kChunkOrSingles;
  bool last_was_chunk = false;
  std::uint64_t chunks_run = 0;

  StepPlan step() {
    StepPlan plan = plan_step({.sequences = views,
                               .rule = kRule,
                               .mixing = mixing,
                               .last_was_chunk = last_was_chunk,
                               .chunks_run = chunks_run});
    last_was_chunk = plan.has_chunk;
    chunks_run += plan.has_chunk ? 1 : 0;
    for (const PlannedStep& planned : plan.steps)
      views[planned.sequence].position += planned.tokens;
    return plan;
  }
};

TEST(Scheduler, PlansNothingForNobody) { EXPECT_TRUE(Bench{}.step().steps.empty()); }

TEST(Scheduler, CutsAPromptAtAbsoluteBoundaries) {
  Bench bench{.views = {{.prompt_tokens = 40, .position = 4}}};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 12, false}}));
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 16, false}}));
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 8, true}}));
}

TEST(Scheduler, DecodesAllRunningSequencesInOneStep) {
  Bench bench{.views = {{.prompt_tokens = 3, .position = 3}, {.prompt_tokens = 5, .position = 9}}};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 1, true}, {1, 1, true}}));
}

TEST(Scheduler, AlternatesChunksAndDecodeSteps) {
  Bench bench{.views = {{.prompt_tokens = 160}, {.prompt_tokens = 2, .position = 2}}};
  std::vector<bool> chunks;
  for (int i = 0; i < 8; ++i) {
    const StepPlan plan = bench.step();
    chunks.push_back(plan.has_chunk);
    EXPECT_EQ(plan.steps.size(), 1U);
  }
  EXPECT_EQ(chunks, (std::vector<bool>{true, false, true, false, true, false, true, false}));
}

TEST(Scheduler, LetsAShortPromptPassALongOne) {
  Bench bench{.views = {{.prompt_tokens = 1600}, {.prompt_tokens = 10}}};
  for (int i = 0; i < 2; ++i) bench.step();
  EXPECT_FALSE(bench.views[1].is_prefilling());
}

TEST(Scheduler, GivesTheOldestPromptEverySecondChunk) {
  Bench bench{.views = {{.prompt_tokens = 160}}};
  for (int i = 0; i < 20; ++i) {
    bench.views.push_back({.prompt_tokens = 5});  // A new short one before each step.
    bench.views.push_back({.prompt_tokens = 5});
    for (int j = 0; j < 2; ++j) bench.step();
  }
  EXPECT_FALSE(bench.views[0].is_prefilling());
}

TEST(Scheduler, MixesDecodeAndPrefillWhereTheDecoderCan) {
  Bench bench{.views = {{.prompt_tokens = 20},
                        {.prompt_tokens = 2, .position = 2},
                        {.prompt_tokens = 8},
                        {.prompt_tokens = 8}},
              .mixing = StepMixing::kRagged};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{1, 1, true}, {0, 16, false}}));
  EXPECT_EQ(bench.step().steps,
            (std::vector<PlannedStep>{{1, 1, true}, {0, 4, true}, {2, 8, true}, {3, 4, false}}));
}

TEST(Scheduler, FillsAStepWithPromptsWhereNothingDecodes) {
  Bench bench{.views = {{.prompt_tokens = 30}, {.prompt_tokens = 6}, {.prompt_tokens = 60}},
              .mixing = StepMixing::kRagged};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 30, true}}));
}

TEST(Scheduler, CutsRaggedChunksAtBlocksAndDropsCrumbs) {
  Bench bench{.views = {{.prompt_tokens = 2, .position = 2, .draft_tokens = 20},
                        {.prompt_tokens = 40},
                        {.prompt_tokens = 50}},
              .mixing = StepMixing::kRagged};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 21, true}, {1, 8, false}}));
}

TEST(Scheduler, VerifiesGuessesWithTheTokenBeforeThem) {
  Bench bench{.views = {{.prompt_tokens = 3, .position = 3, .draft_tokens = 4},
                        {.prompt_tokens = 5, .position = 9}},
              .mixing = StepMixing::kRagged};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 5, true}, {1, 1, true}}));
}

TEST(Scheduler, LeavesOutAPromptThatWaitsForAnothersBlocks) {
  Bench bench{.views = {{.prompt_tokens = 8}, {.prompt_tokens = 8, .is_waiting = true}},
              .mixing = StepMixing::kRagged};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 8, true}}));
}

TEST(Scheduler, LeavesOutASequenceThatWaitsForItsMask) {
  for (const auto mixing : {StepMixing::kRagged, StepMixing::kChunkOrSingles}) {
    Bench bench{.views = {{.prompt_tokens = 3, .position = 5, .is_waiting = true},
                          {.prompt_tokens = 5, .position = 9}},
                .mixing = mixing};
    EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{1, 1, true}}));
  }
}

TEST(Scheduler, RunsChunksOneAfterTheOtherWhereAllElseWaits) {
  Bench bench{
      .views = {{.prompt_tokens = 40}, {.prompt_tokens = 3, .position = 5, .is_waiting = true}}};
  EXPECT_TRUE(bench.step().has_chunk);
  EXPECT_TRUE(bench.step().has_chunk);
}

TEST(Scheduler, TakesLivePromptsBeforeBatchPrompts) {
  Bench bench{.views = {{.prompt_tokens = 4, .is_batch = true}, {.prompt_tokens = 16}}};
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{1, 16, true}}));
  bench.views[1].is_waiting = true;
  EXPECT_EQ(bench.step().steps, (std::vector<PlannedStep>{{0, 4, true}}));
}

TEST(Scheduler, KeepsTheDecodersRulesForRandomStates) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    Bench bench{.mixing = random() % 2 ? StepMixing::kRagged : StepMixing::kChunkOrSingles,
                .last_was_chunk = random() % 2 == 0,
                .chunks_run = random() % 2};
    for (std::size_t i = 0; i <= random() % 5; ++i) {
      const auto prompt = static_cast<std::uint32_t>(1 + random() % 60);
      bench.views.push_back(
          {.prompt_tokens = prompt, .position = static_cast<std::uint32_t>(random() % 70)});
    }
    const auto before = bench.views;
    const StepPlan plan = bench.step();
    ASSERT_FALSE(plan.steps.empty());
    std::size_t chunks = 0;
    std::size_t all_tokens = 0;
    for (const PlannedStep& step : plan.steps) {
      const SequenceView& view = before[step.sequence];
      chunks += view.is_prefilling() ? 1 : 0;
      ASSERT_LE(step.tokens, kRule.step_tokens_max);
      ASSERT_GE(step.tokens, 1U);
      const std::uint32_t end = view.position + step.tokens;
      ASSERT_EQ(step.needs_logits, end >= view.prompt_tokens);
      all_tokens += step.tokens;
      if (view.is_prefilling() && bench.mixing == StepMixing::kChunkOrSingles) {
        ASSERT_TRUE(end == view.prompt_tokens || end % kRule.tokens == 0);
      }
    }
    ASSERT_LE(all_tokens, kRule.step_tokens_max);
    if (bench.mixing == StepMixing::kChunkOrSingles && chunks > 0) {
      ASSERT_EQ(plan.steps.size(), 1U);
    }
  }
}

TEST(ChunkRule, IsAWholeNumberOfBlocks) {
  const DecoderLimits limits{.chunk_tokens_max = 100};
  EXPECT_EQ(make_chunk_rule(256, limits, {.block_tokens = 32}).tokens, 96U);
  EXPECT_EQ(make_chunk_rule(64, limits, {.block_tokens = 32}).tokens, 64U);
  EXPECT_EQ(make_chunk_rule(20, limits, {.block_tokens = 32}).tokens, 20U);
  EXPECT_EQ(make_chunk_rule(0, limits, {.block_tokens = 0}).tokens, 1U);
}

TEST(ReusableTokens, LeaveTheLastTokenToBeComputed) {
  EXPECT_EQ(reusable_tokens_max(kRule, 1), 0U);
  EXPECT_EQ(reusable_tokens_max(kRule, 4), 0U);
  EXPECT_EQ(reusable_tokens_max(kRule, 6), 4U);
  EXPECT_EQ(reusable_tokens_max(kRule, 8), 4U);
}

TEST(ReusableTokens, NeverLeaveALoneTokenThatAColdRunComputesInCompany) {
  EXPECT_EQ(reusable_tokens_max(kRule, 9), 4U);
  EXPECT_EQ(reusable_tokens_max(kRule, 5), 0U);
  // A cold run has it alone too: the chunk before ends at 16.
  EXPECT_EQ(reusable_tokens_max(kRule, 17), 16U);
}

}  // namespace
}  // namespace onnxlocal
