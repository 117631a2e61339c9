// Outputs that are held to a constraint: step by step over the fake decoder, with masks that come
// when the test says so; and with the engine's own threads, held by gates.
#include "engine/constraint.h"

#include <algorithm>
#include <thread>

#include "engine_stepper.h"
#include "turnstile.h"

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;

SequenceRequest constrained(Tokens prompt, std::uint32_t tokens_max,
                            FakeConstraintOptions options = {}) {
  SequenceRequest request = greedy(std::move(prompt), tokens_max);
  request.constraint = std::make_unique<FakeConstraint>(std::move(options));
  return request;
}

/// What greedy decoding gives under the constraint.
Tokens expected(const FakeDecoder& model, Tokens prompt, std::size_t count,
                const FakeConstraintOptions& options = {}) {
  Tokens output;
  for (std::size_t i = 0; i < count; ++i) {
    const auto logits = model.logits_after(prompt);
    TokenId best = -1;
    for (std::size_t token = 0; token < logits.size(); ++token) {
      const auto id = static_cast<TokenId>(token);
      if (!FakeConstraint::allows(options, output, id)) continue;
      if (best < 0 || logits[token] > logits[static_cast<std::size_t>(best)]) best = id;
    }
    output.push_back(best);
    prompt.push_back(best);
  }
  return output;
}

/// Runs all; masks come as late as they can.
void run_late(Stepper& engine, ManualMasks& masks) {
  while (engine.step() || masks.waiting() > 0) {
    if (engine.step() || masks.waiting() == 0) continue;
    masks.run_one();
  }
}

TEST(Constraint, AllowsOnlyWhatItsMasksAllow) {
  Stepper engine;
  const auto recorder = engine.submit(constrained(prompt_of(20), 15));
  engine.run_all();
  EXPECT_EQ(recorder.now().tokens, expected(*engine.decoder, prompt_of(20), 15));
  EXPECT_NE(recorder.now().tokens, engine.decoder->expected_greedy(prompt_of(20), 15));
  EXPECT_EQ(recorder.now().finished->reason, StopReason::kTokensMax);
  EXPECT_EQ(engine.loop->status().masks_late, 0U);
}

TEST(Constraint, GivesTheSameTokensWhetherItsMasksAreInTimeOrLate) {
  for (const auto mixing : {StepMixing::kRagged, StepMixing::kChunkOrSingles}) {
    const auto request = [] {
      auto made = constrained(prompt_of(9), 25);
      made.sampling = {
          .temperature = 1.2F, .top_k = 40, .top_p = 0.9F, .frequency_penalty = 0.5F, .seed = 7};
      return made;
    };
    Stepper in_time({.mixing = mixing});
    const auto one = in_time.submit(request());
    in_time.run_all();
    ManualMasks masks;
    Stepper late({.mixing = mixing}, {}, masks.dispatch());
    const auto other = late.submit(request());
    const auto free = late.submit_greedy(prompt_of(40), 40);
    run_late(late, masks);
    EXPECT_EQ(one.now().tokens.size(), 25U);
    EXPECT_EQ(one.now().tokens, other.now().tokens);
    EXPECT_EQ(free.now().tokens, late.decoder->expected_greedy(prompt_of(40), 40));
    EXPECT_GT(late.loop->status().masks_late, 0U);
  }
}

TEST(Constraint, DoesNotHoldUpTheOthers) {
  ManualMasks masks;
  Stepper engine({}, {}, masks.dispatch());
  const auto held = engine.submit(constrained({1}, 5));
  const auto free = engine.submit_greedy(prompt_of(60), 20);
  engine.run_all();
  EXPECT_TRUE(free.now().finished);
  EXPECT_TRUE(held.now().started);
  EXPECT_TRUE(held.now().tokens.empty());
  EXPECT_EQ(engine.loop->status().running, 1U);
  run_late(engine, masks);
  EXPECT_EQ(held.now().tokens, expected(*engine.decoder, {1}, 5));
}

TEST(Constraint, SamplesWithoutAnotherForwardPassOnceItsMaskHasCome) {
  ManualMasks masks;
  Stepper engine({}, {}, masks.dispatch());
  const auto recorder = engine.submit(constrained({1}, 3));
  run_late(engine, masks);
  EXPECT_TRUE(recorder.now().finished);
  EXPECT_EQ(engine.decoder->counts().forwards, 3U);
  EXPECT_EQ(engine.loop->status().masks_late, 3U);
}

TEST(Constraint, HasNothingToDoUntilAMaskComes) {
  ManualMasks masks;
  Stepper engine({}, {}, masks.dispatch());
  engine.submit(constrained({1}, 3));
  EXPECT_TRUE(engine.step());
  EXPECT_FALSE(engine.step());
  EXPECT_FALSE(engine.step());
  masks.run_one();
  EXPECT_TRUE(engine.step());
  run_late(engine, masks);
}

TEST(Constraint, ComputesTheFirstMaskBesideThePrompt) {
  ManualMasks masks;
  Stepper engine({.slots = 1, .chunk_tokens_max = 16}, {}, masks.dispatch());
  engine.submit(constrained(prompt_of(100), 2));
  engine.step();
  EXPECT_EQ(masks.waiting(), 1U);
  masks.run_one();
  while (masks.waiting() == 0) ASSERT_TRUE(engine.step());
  EXPECT_EQ(engine.loop->status().masks_late, 0U);
  run_late(engine, masks);
}

TEST(Constraint, EndsTheTurnWhereItAllowsTheEndToken) {
  const auto allowing = [](std::vector<TokenId> tokens) {
    return constrained(prompt_of(5), 30, {.always_allowed = std::move(tokens)});
  };
  // The model wants to end at once.
  const FakeDecoderOptions model{
      .scripted_next = [](std::span<const TokenId>) { return std::optional<TokenId>(0); }};
  FakeConstraintOptions forbidding;
  while (FakeConstraint::allows(forbidding, {}, 0)) ++forbidding.seed;
  Stepper engine(model, {.end_tokens = {0}});
  const auto may = engine.submit(allowing({0}));
  const auto may_not = engine.submit(constrained(prompt_of(5), 30, forbidding));
  engine.run_all();
  EXPECT_EQ(may.now().finished->reason, StopReason::kEndOfTurn);
  EXPECT_EQ(may.now().finished->usage.output_tokens, 1U);
  EXPECT_GT(may_not.now().finished->usage.output_tokens, 1U);
}

TEST(Constraint, ReportsTheModelsOwnLogprobs) {
  Stepper engine;
  auto request = constrained(prompt_of(5), 1);
  request.sampling.logprobs = 3;
  const auto recorder = engine.submit(std::move(request));
  engine.run_all();
  const auto logits = engine.decoder->logits_after(prompt_of(5));
  const TokenReport report = recorder.now().reports.at(0);
  const auto best = std::ranges::max_element(logits) - logits.begin();
  ASSERT_EQ(report.alternatives.size(), 3U);
  EXPECT_EQ(report.alternatives[0].token, best);
  const auto chosen = static_cast<std::size_t>(report.chosen.token);
  EXPECT_NEAR(report.alternatives[0].logprob - report.chosen.logprob,
              logits[static_cast<std::size_t>(best)] - logits[chosen], 1e-4);
}

TEST(Constraint, FailsTheSequenceWhereNothingIsAllowed) {
  Stepper engine;
  const auto recorder = engine.submit(constrained({1}, 9, {.nothing_after = 4}));
  engine.run_all();
  EXPECT_EQ(recorder.now().tokens.size(), 4U);
  ASSERT_TRUE(recorder.now().failed);
  EXPECT_EQ(recorder.now().failed->code, ErrorCode::kInternal);
  EXPECT_EQ(recorder.now().failed->message, "the constraint allows no token");
}

TEST(Constraint, FailsTheSequenceWhereItFailsItself) {
  for (const auto& options : {FakeConstraintOptions{.mask_fails_after = 2},
                              FakeConstraintOptions{.commit_fails_after = 2}}) {
    Stepper engine;
    const auto recorder = engine.submit(constrained({1}, 9, options));
    const auto other = engine.submit_greedy({2}, 9);
    engine.run_all();
    ASSERT_TRUE(recorder.now().failed);
    EXPECT_EQ(recorder.now().failed->code, ErrorCode::kInternal);
    EXPECT_NE(recorder.now().failed->message.find("told to fail"), std::string::npos);
    EXPECT_TRUE(other.now().finished);
  }
}

TEST(Constraint, CancelsWhatWaitsForAMask) {
  ManualMasks masks;
  Stepper engine({}, {}, masks.dispatch());
  const auto recorder = engine.submit(constrained({1}, 3));
  engine.run_all();
  engine.loop->cancel(engine.last_id);
  engine.run_all();
  EXPECT_EQ(recorder.now().failed->code, ErrorCode::kCancelled);
  EXPECT_EQ(engine.loop->status().running, 0U);
  masks.run_all();  // What comes too late is for nobody.
  EXPECT_FALSE(engine.step());
}

TEST(Constraint, GetsNoGuessesAndTheSameTokens) {
  FakeDecoderOptions repeating{.mixing = StepMixing::kRagged};
  repeating.scripted_next = [](std::span<const TokenId> prefix) -> std::optional<TokenId> {
    return prefix[prefix.size() - 4];
  };
  Stepper engine(repeating, {}, masks_at_once(), make_prompt_lookup(4));
  const auto held = engine.submit(constrained(prompt_of(20), 30));
  const auto free = engine.submit_greedy(prompt_of(20, 50), 30);
  engine.run_all();
  EXPECT_EQ(held.now().tokens, expected(*engine.decoder, prompt_of(20), 30));
  EXPECT_EQ(free.now().tokens, engine.decoder->expected_greedy(prompt_of(20, 50), 30));
  EXPECT_GT(engine.loop->status().accepted_tokens, 0U);
}

std::unique_ptr<Engine> start(EngineOptions options = {}) {
  return Engine::start(std::make_unique<FakeDecoder>(), nullptr, std::move(options)).value();
}

TEST(ConstraintThreads, ComputeMasksBesideTheEngine) {
  const auto engine = start();
  std::vector<EventRecorder> recorders(6);
  for (std::size_t i = 0; i < recorders.size(); ++i) {
    const auto prompt = prompt_of(5 + i);
    ASSERT_TRUE(engine->submit(constrained(prompt, 40), recorders[i].sink()));
  }
  for (std::size_t i = 0; i < recorders.size(); ++i) {
    EXPECT_EQ(recorders[i].wait().tokens, expected(FakeDecoder{}, prompt_of(5 + i), 40));
  }
}

TEST(ConstraintThreads, LetTheOthersFinishWhileAMaskIsComputed) {
  Turnstile gate;
  const auto engine = start();
  EventRecorder held;
  EventRecorder free;
  ASSERT_TRUE(
      engine->submit(constrained({1}, 4, {.before_mask = [&] { gate.pass(); }}), held.sink()));
  gate.wait_until_reached();
  ASSERT_TRUE(engine->submit(greedy({2}, 20), free.sink()));
  EXPECT_TRUE(free.wait().finished);
  EXPECT_TRUE(held.now().tokens.empty());
  gate.open();
  EXPECT_EQ(held.wait().tokens, expected(FakeDecoder{}, {1}, 4));
}

TEST(ConstraintThreads, AreCancelledWhileAMaskIsComputed) {
  Turnstile gate;
  const auto engine = start();
  EventRecorder recorder;
  const auto id =
      engine->submit(constrained({1}, 4, {.before_mask = [&] { gate.pass(); }}), recorder.sink());
  gate.wait_until_reached();
  engine->cancel(*id);
  EXPECT_EQ(recorder.wait().failed->code, ErrorCode::kCancelled);
  gate.open();
}

TEST(ConstraintThreads, EndWithTheEngineWhileAMaskIsComputed) {
  Turnstile gate;
  EventRecorder recorder;
  auto engine = start();
  ASSERT_TRUE(
      engine->submit(constrained({1}, 4, {.before_mask = [&] { gate.pass(); }}), recorder.sink()));
  gate.wait_until_reached();
  std::thread opener([&] {
    recorder.wait();
    gate.open();
  });
  engine.reset();
  opener.join();
  EXPECT_EQ(recorder.now().failed->code, ErrorCode::kCancelled);
}

TEST(ConstraintThreads, FinishBeforeAShutDownsDeadline) {
  Turnstile gate;
  const auto engine = start();
  EventRecorder recorder;
  ASSERT_TRUE(
      engine->submit(constrained({1}, 4, {.before_mask = [&] { gate.pass(); }}), recorder.sink()));
  recorder.wait_until([](const Recorded& recorded) { return recorded.started.has_value(); });
  std::thread opener([&] { gate.open(); });
  EXPECT_TRUE(engine->shut_down(Deadline::after(std::chrono::hours(1))));
  opener.join();
  EXPECT_TRUE(recorder.now().finished);
}

}  // namespace
}  // namespace onnxlocal
