// When to guess how much: what steps cost, how guesses do, and what follows.
#include "engine/draft_budget.h"

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "engine/acceptance.h"
#include "engine/step_costs.h"

namespace onnxlocal {
namespace {

using Drafts = std::vector<std::uint32_t>;

Drafts allot(const std::vector<DraftOffer>& offers, DraftBudget budget, StepCosts costs = {}) {
  budget.decode_rows = std::max(budget.decode_rows, static_cast<std::uint32_t>(offers.size()));
  if (budget.draft_rows_max == 0) budget.draft_rows_max = 32;
  return allot_drafts(offers, budget, costs);
}

std::uint32_t sum(const Drafts& drafts) {
  return std::accumulate(drafts.begin(), drafts.end(), std::uint32_t{0});
}

TEST(StepCosts, KnowThatTheFirstRowsAreNearlyFree) {
  const StepCosts costs;
  EXPECT_DOUBLE_EQ(costs.rows(1), 1.0);
  EXPECT_NEAR(costs.rows(4), 1.13, 1e-9);
  EXPECT_NEAR(costs.rows(6), 1.39, 1e-9);
  EXPECT_GT(costs.rows(100), 2 * costs.rows(32));
}

TEST(StepCosts, LearnWhatRowsReallyCost) {
  StepCosts dear;
  for (int i = 0; i < 60; ++i) {
    dear.ran(1, 0, 0.010);
    dear.ran(4, 3, 0.020);
  }
  EXPECT_NEAR(dear.rows(4), 2.0, 0.1);
  StepCosts cheap;
  for (int i = 0; i < 60; ++i) {
    cheap.ran(1, 0, 0.010);
    cheap.ran(8, 7, 0.0105);
  }
  EXPECT_LT(cheap.rows(8), 1.25);
}

TEST(StepCosts, AreNotMisledByAStepThatWasHeldUp) {
  StepCosts costs;
  for (int i = 0; i < 20; ++i) {
    costs.ran(1, 0, 0.010);
    costs.ran(4, 3, 0.0113);
  }
  costs.ran(1, 0, 1.0);
  costs.ran(4, 3, 1.0);
  EXPECT_NEAR(costs.rows(4), 1.13, 0.01);
}

TEST(StepCosts, BelieveTheTableAgainAfterAWhile) {
  StepCosts costs;
  costs.ran(1, 0, 0.010);
  for (int i = 0; i < 5; ++i) costs.ran(4, 3, 0.040);
  EXPECT_GT(costs.rows(4), 2.5);
  for (int i = 0; i < 2000; ++i) costs.ran(1, 0, 0.010);
  EXPECT_LT(costs.rows(4), 1.2);
}

TEST(StepCosts, FollowAMachineThatBecameSlower) {
  StepCosts costs;
  for (int i = 0; i < 10; ++i) costs.ran(1, 0, 0.010);
  for (int i = 0; i < 60; ++i) costs.ran(1, 0, 0.100);
  costs.drafted(1, 0.050);
  EXPECT_NEAR(costs.draft_round(0), 0.5, 0.05);
}

TEST(StepCosts, AskForAPlainStepNowAndThen) {
  StepCosts costs;
  EXPECT_FALSE(costs.wants_plain_step());
  for (int i = 0; i < 16; ++i) costs.ran(4, 3, 0.010);
  EXPECT_TRUE(costs.wants_plain_step());  // What one row takes was never seen.
  costs.ran(1, 0, 0.010);
  for (int i = 0; i < 127; ++i) costs.ran(4, 3, 0.010);
  EXPECT_FALSE(costs.wants_plain_step());
  costs.ran(4, 3, 0.010);
  EXPECT_TRUE(costs.wants_plain_step());
  costs.ran(1, 0, 0.010);
  EXPECT_FALSE(costs.wants_plain_step());
}

TEST(StepCosts, MeasureADrafterAgainstAStep) {
  StepCosts costs;
  EXPECT_DOUBLE_EQ(costs.draft_round(0.15), 0.15);
  costs.ran(1, 0, 0.010);
  costs.drafted(4, 0.012);
  EXPECT_NEAR(costs.draft_round(0.15), 0.3, 1e-9);
}

TEST(Acceptance, CountsWhatWasJudged) {
  Acceptance acceptance;
  EXPECT_DOUBLE_EQ(acceptance.rate(), 0.5);
  acceptance.record(4, 4);
  EXPECT_NEAR(acceptance.rate(), 5.0 / 6, 1e-9);
  acceptance.record(4, 1);  // The two behind the wrong one say nothing.
  EXPECT_NEAR(acceptance.rate(), 6.0 / 8, 1e-9);
}

TEST(Acceptance, PausesSoonWhereGuessesFailAndEachTimeLonger) {
  Acceptance acceptance;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(acceptance.is_paused());
    acceptance.record(3, 0);
  }
  std::vector<int> pauses;
  for (int round = 0; round < 7; ++round) {
    int tokens = 0;
    for (; acceptance.is_paused(); ++tokens) acceptance.generated(1);
    pauses.push_back(tokens);
    acceptance.record(1, 0);
  }
  EXPECT_EQ(pauses, (std::vector<int>{16, 32, 64, 128, 256, 512, 512}));
}

TEST(Acceptance, ForgivesWhereGuessesDoWellAgain) {
  Acceptance acceptance;
  for (int i = 0; i < 5; ++i) {
    acceptance.record(3, 0);
    acceptance.generated(1000);
  }
  for (int i = 0; i < 6; ++i) acceptance.record(4, 4);
  EXPECT_GT(acceptance.rate(), 0.8);
  for (int i = 0; i < 30 && !acceptance.is_paused(); ++i) acceptance.record(3, 0);
  acceptance.generated(16);
  EXPECT_FALSE(acceptance.is_paused());
}

TEST(DraftBudget, LetsOneSequenceGuessMuchWhereGuessesAreRight) {
  EXPECT_GE(sum(allot({{.acceptance = 0.95, .tokens_max = 15}}, {})), 6U);
  const std::uint32_t middling = sum(allot({{.acceptance = 0.5, .tokens_max = 15}}, {}));
  EXPECT_GE(middling, 2U);
  EXPECT_LE(middling, 3U);
}

TEST(DraftBudget, GivesNothingWhereItDoesNotPay) {
  EXPECT_EQ(allot({{.acceptance = 0.02, .tokens_max = 15}}, {}), (Drafts{0}));
  EXPECT_EQ(allot({}, {.decode_rows = 3}), Drafts{});
}

TEST(DraftBudget, GuessesLittleWhereManySequencesRun) {
  const std::vector<DraftOffer> middling(8, {.acceptance = 0.5, .tokens_max = 15});
  EXPECT_EQ(sum(allot(middling, {})), 0U);
  const std::vector<DraftOffer> two(2, {.acceptance = 0.5, .tokens_max = 15});
  EXPECT_EQ(allot(two, {}), (Drafts{1, 1}));
}

TEST(DraftBudget, PrefersTheSequenceThatIsMoreOftenRight) {
  const Drafts drafts =
      allot({{.acceptance = 0.3, .tokens_max = 15}, {.acceptance = 0.9, .tokens_max = 15}}, {});
  EXPECT_GT(drafts[1], drafts[0]);
}

TEST(DraftBudget, KeepsItsBounds) {
  EXPECT_EQ(allot({{.acceptance = 0.99, .tokens_max = 2}}, {}), (Drafts{2}));
  EXPECT_EQ(
      sum(allot({{.acceptance = 0.99, .tokens_max = 9}, {.acceptance = 0.99, .tokens_max = 9}},
                {.draft_rows_max = 3})),
      3U);
}

TEST(DraftBudget, CountsWhatADraftModelCosts) {
  const std::vector<DraftOffer> offers{{.acceptance = 0.8, .tokens_max = 15}};
  const std::uint32_t free = sum(allot(offers, {}));
  const std::uint32_t cheap = sum(allot(offers, {.round_cost = 0.1}));
  EXPECT_LT(cheap, free);
  EXPECT_GE(cheap, 2U);
  EXPECT_EQ(sum(allot(offers, {.round_cost = 1.0})), 0U);
}

TEST(DraftBudget, SparesThePromptsThatAreComputedBeside) {
  const std::vector<DraftOffer> doubtful{{.acceptance = 0.1, .tokens_max = 15}};
  EXPECT_EQ(sum(allot(doubtful, {.prefill_rows = 256})), 0U);
  const std::vector<DraftOffer> sure{{.acceptance = 0.9, .tokens_max = 15}};
  EXPECT_GT(sum(allot(sure, {.prefill_rows = 256})), 3U);
}

TEST(DraftBudget, StopsWhereMeasuredRowsAreDear) {
  StepCosts dear;
  for (int i = 0; i < 100; ++i) {
    dear.ran(1, 0, 0.010);
    dear.ran(4, 3, 0.040);
  }
  EXPECT_EQ(sum(allot({{.acceptance = 0.5, .tokens_max = 15}}, {}, dear)), 0U);
}

}  // namespace
}  // namespace onnxlocal
