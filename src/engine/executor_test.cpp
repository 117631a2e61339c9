// Drives the engine's loop step by step on the test's own thread, over the fake decoder: each test
// sees every step, and knows the right tokens.
#include <algorithm>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "engine/loop.h"
#include "engine_stepper.h"
#include "event_recorder.h"
#include "fake_decoder.h"

namespace onnxlocal {
namespace {

TEST(EngineLoop, GeneratesWhatTheModelSays) {
  Stepper engine;
  const auto prompt = prompt_of(20);
  const auto recorder = engine.submit_greedy(prompt, 12);
  engine.run_all();
  const Recorded result = recorder.now();
  EXPECT_EQ(result.tokens, engine.decoder->expected_greedy(prompt, 12));
  ASSERT_TRUE(result.finished);
  EXPECT_EQ(result.finished->reason, StopReason::kTokensMax);
  EXPECT_EQ(result.finished->usage.output_tokens, 12U);
  EXPECT_TRUE(result.violations.empty());
}

TEST(EngineLoop, HasNothingToDoWhenIdle) {
  Stepper engine;
  EXPECT_FALSE(engine.step());
  engine.submit_greedy({1}, 1);
  engine.run_all();
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(engine.decoder->counts().forwards, 1U);
}

TEST(EngineLoop, RunsManySequencesInOneBatchWithoutMixingThem) {
  Stepper engine({.slots = 4});
  std::vector<EventRecorder> recorders;
  for (TokenId i = 0; i < 4; ++i) recorders.push_back(engine.submit_greedy(prompt_of(5, i), 20));
  engine.run_all();
  for (TokenId i = 0; i < 4; ++i) {
    EXPECT_EQ(recorders[static_cast<std::size_t>(i)].now().tokens,
              engine.decoder->expected_greedy(prompt_of(5, i), 20));
  }
  EXPECT_EQ(engine.decoder->counts().busiest_step, 4U);
}

TEST(EngineLoop, KeepsDecodingWhileALongPromptIsComputed) {
  Stepper engine({.slot_tokens_max = 2000, .chunk_tokens_max = 16});
  const auto quick = engine.submit_greedy({1, 2}, 100);
  engine.step();
  const auto slow = engine.submit_greedy(prompt_of(200), 2);
  std::uint32_t tokens_before = 0;
  for (int i = 0; i < 20; ++i) {
    engine.step();
    engine.step();
    const auto tokens = static_cast<std::uint32_t>(quick.now().tokens.size());
    EXPECT_GT(tokens, tokens_before);
    tokens_before = tokens;
  }
  EXPECT_TRUE(slow.now().started);
}

TEST(EngineLoop, MixesStepsWhereTheDecoderCan) {
  Stepper engine({.mixing = StepMixing::kRagged});
  const auto one = engine.submit_greedy({1, 2}, 30);
  engine.step();
  const auto other = engine.submit_greedy(prompt_of(50), 5);
  engine.run_all();
  EXPECT_EQ(one.now().tokens, engine.decoder->expected_greedy(std::vector<TokenId>{1, 2}, 30));
  EXPECT_EQ(other.now().tokens, engine.decoder->expected_greedy(prompt_of(50), 5));
}

TEST(EngineLoop, ComputesManyPromptsInOneRaggedStep) {
  Stepper engine({.slots = 8, .chunk_tokens_max = 96, .mixing = StepMixing::kRagged});
  std::vector<EventRecorder> recorders;
  for (TokenId i = 0; i < 8; ++i) recorders.push_back(engine.submit_greedy(prompt_of(12, i), 4));
  engine.step();
  EXPECT_EQ(engine.decoder->counts().busiest_step, 8U);
  EXPECT_EQ(engine.decoder->counts().widest_step, 96U);
  engine.run_all();
  for (TokenId i = 0; i < 8; ++i) {
    EXPECT_EQ(recorders[static_cast<std::size_t>(i)].now().tokens,
              engine.decoder->expected_greedy(prompt_of(12, i), 4));
  }
}

TEST(EngineLoop, BoundsThePrefillBesideDecodingRows) {
  Stepper engine({.slot_tokens_max = 400, .chunk_tokens_max = 128, .mixing = StepMixing::kRagged},
                 {.chunk_tokens = 16});
  const auto decoding = engine.submit_greedy({1, 2}, 20);
  engine.step();
  engine.submit_greedy(prompt_of(200), 2);
  const std::uint64_t before = engine.decoder->counts().tokens;
  engine.step();
  EXPECT_EQ(engine.decoder->counts().tokens - before, 17U);
  EXPECT_EQ(decoding.now().tokens.size(), 2U);
}

TEST(EngineLoop, ComputesASharedPrefixOnceAndSharesItByReference) {
  Stepper engine({.slots = 4,
                  .slot_tokens_max = 400,
                  .chunk_tokens_max = 512,
                  .mixing = StepMixing::kRagged,
                  .block_tokens = 8,
                  .pool_blocks = 100});
  std::vector<EventRecorder> recorders;
  std::vector<std::vector<TokenId>> prompts;
  for (TokenId i = 0; i < 4; ++i) {
    prompts.push_back(prompt_of(160));
    for (int j = 0; j < 3; ++j) prompts.back().push_back(i);
    recorders.push_back(engine.submit_greedy(prompts.back(), 5));
  }
  engine.run_all();
  EXPECT_EQ(engine.decoder->counts().shared_blocks, 60U);
  EXPECT_EQ(engine.decoder->counts().imported_blocks, 0U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(recorders[i].now().tokens, engine.decoder->expected_greedy(prompts[i], 5));
    EXPECT_EQ(recorders[i].now().started->cache_read_tokens, i == 0 ? 0U : 160U);
  }
}

TEST(EngineLoop, AdmitsWhatTheSharedMemoryHasRoomFor) {
  // Eight blocks of eight tokens: each of these needs five.
  Stepper engine({.mixing = StepMixing::kRagged, .block_tokens = 8, .pool_blocks = 8});
  const auto first = engine.submit_greedy(prompt_of(20), 20);
  const auto second = engine.submit_greedy(prompt_of(20, 50), 20);
  engine.step();
  EXPECT_EQ(engine.loop->status().running, 1U);
  engine.run_all();
  EXPECT_EQ(second.now().tokens, engine.decoder->expected_greedy(prompt_of(20, 50), 20));
  EXPECT_EQ(engine.refused({.prompt = prompt_of(65), .tokens_max = 1}).code,
            ErrorCode::kOverloaded);
  const auto clamped = engine.submit_greedy(prompt_of(60), 100);
  engine.run_all();
  EXPECT_EQ(clamped.now().tokens.size(), 5U);
}

TEST(EngineLoop, EndsATurnAtAnEndTokenAndDoesNotShowIt) {
  const auto prompt = prompt_of(4);
  const auto expected = FakeDecoder{}.expected_greedy(prompt, 6);
  Stepper engine({}, {.end_tokens = {expected[3]}});
  const auto recorder = engine.submit_greedy(prompt, 50);
  engine.run_all();
  const auto seen_first =
      static_cast<std::size_t>(std::ranges::find(expected, expected[3]) - expected.begin());
  EXPECT_EQ(recorder.now().tokens.size(), seen_first);
  EXPECT_EQ(recorder.now().finished->reason, StopReason::kEndOfTurn);
  EXPECT_EQ(recorder.now().finished->usage.output_tokens, seen_first + 1);
}

TEST(EngineLoop, EndsAtARequestsOwnStopTokensAndIgnoresEndTokensWhenAsked) {
  const auto prompt = prompt_of(4);
  const auto expected = FakeDecoder{}.expected_greedy(prompt, 6);
  Stepper engine({}, {.end_tokens = {expected[1]}});
  const auto through = engine.submit({.prompt = prompt,
                                      .sampling = {.temperature = 0},
                                      .tokens_max = 6,
                                      .ignore_end_tokens = true});
  const auto stopped = engine.submit({.prompt = prompt,
                                      .sampling = {.temperature = 0},
                                      .tokens_max = 6,
                                      .stop_tokens = {expected[0]}});
  engine.run_all();
  EXPECT_EQ(through.now().tokens, expected);
  EXPECT_TRUE(stopped.now().tokens.empty());
}

TEST(EngineLoop, ClampsToTheContextAndSaysSo) {
  Stepper engine({.slot_tokens_max = 32});
  const auto recorder = engine.submit_greedy(prompt_of(30), 32000);
  engine.run_all();
  // The last one is not computed with.
  EXPECT_EQ(recorder.now().tokens.size(), 3U);
  EXPECT_EQ(recorder.now().finished->reason, StopReason::kContextFull);
}

TEST(EngineLoop, RefusesWhatDoesNotFitTheContext) {
  Stepper engine({.slot_tokens_max = 32});
  const Error error = engine.refused({.prompt = prompt_of(33), .tokens_max = 1});
  EXPECT_EQ(error.code, ErrorCode::kPromptTooLong);
  EXPECT_EQ(error.message, prompt_too_long(33, 32).message);
}

TEST(EngineLoop, AnswersAPromptThatFillsTheContextWithOneToken) {
  for (const auto mixing : {StepMixing::kRagged, StepMixing::kChunkOrSingles}) {
    Stepper engine(
        {.slots = 1, .slot_tokens_max = 32, .mixing = mixing, .block_tokens = 8, .pool_blocks = 4});
    const auto fits = engine.submit_greedy(prompt_of(32), 5);
    engine.run_all();
    EXPECT_EQ(fits.now().tokens, engine.decoder->expected_greedy(prompt_of(32), 1));
    EXPECT_EQ(fits.now().finished->reason, StopReason::kContextFull);
  }
}

TEST(EngineLoop, RefusesWhatIsOutOfRangeByName) {
  Stepper engine;
  const auto message = [&](SequenceRequest request) {
    const Error error = engine.refused(std::move(request));
    EXPECT_EQ(error.code, ErrorCode::kInvalidRequest);
    return error.message;
  };
  EXPECT_TRUE(message({.prompt = {}, .tokens_max = 1}).starts_with("prompt:"));
  EXPECT_TRUE(message({.prompt = {300}, .tokens_max = 1}).starts_with("prompt:"));
  EXPECT_TRUE(message({.prompt = {-1}, .tokens_max = 1}).starts_with("prompt:"));
  EXPECT_TRUE(message({.prompt = {1}, .tokens_max = 0}).starts_with("tokens_max:"));
  EXPECT_TRUE(
      message({.prompt = {1}, .sampling = {.top_p = 2}, .tokens_max = 1}).starts_with("top_p:"));
  EXPECT_TRUE(message({.prompt = {1}, .tokens_max = 1, .stop_strings = {"x"}})
                  .starts_with("stop_strings:"));
}

TEST(EngineLoop, AnswersOverloadedWhenTheQueueIsFull) {
  Stepper engine({.slots = 1}, {.queue_max = 2});
  std::vector<EventRecorder> recorders;
  for (int i = 0; i < 3; ++i) recorders.push_back(engine.submit_greedy({1}, 3));
  const Error error = engine.refused({.prompt = {1}, .tokens_max = 1});
  EXPECT_EQ(error.code, ErrorCode::kOverloaded);
  EXPECT_FALSE(error.hint.empty());
  engine.step();
  EXPECT_EQ(engine.loop->status().queued, 2U);
  EXPECT_EQ(engine.loop->status().running, 1U);
  engine.run_all();
  for (const auto& recorder : recorders) EXPECT_TRUE(recorder.now().finished);
  engine.submit_greedy({1}, 1);
}

TEST(EngineLoop, HoldsTheByteBudgetAndTheOrderOfArrival) {
  // 8 bytes per token: room for 40 tokens, though there are four slots.
  Stepper engine({}, {.kv_bytes_max = 320});
  const auto first = engine.submit_greedy(prompt_of(10), 20);
  const auto large = engine.submit_greedy(prompt_of(10), 25);
  const auto small = engine.submit_greedy({1}, 2);
  engine.step();
  EXPECT_EQ(engine.loop->status().running, 1U);  // `small` would fit, but does not overtake.
  while (!large.now().started) ASSERT_TRUE(engine.step());
  EXPECT_TRUE(first.now().finished);
  engine.run_all();
  EXPECT_TRUE(large.now().finished && small.now().finished);
}

TEST(EngineLoop, ClampsToTheByteBudgetAndRefusesWhatCanNeverFit) {
  Stepper engine({}, {.kv_bytes_max = 320});
  EXPECT_EQ(engine.refused({.prompt = prompt_of(41), .tokens_max = 1}).code,
            ErrorCode::kOverloaded);
  const auto recorder = engine.submit_greedy(prompt_of(38), 100);
  engine.run_all();
  EXPECT_EQ(recorder.now().tokens.size(), 3U);
  EXPECT_EQ(recorder.now().finished->reason, StopReason::kContextFull);
}

TEST(EngineLoop, ReusesAPrefixThatWasComputedBefore) {
  Stepper engine({.block_tokens = 8});
  const auto prompt = prompt_of(30);
  const auto cold = engine.submit_greedy(prompt, 5);
  engine.run_all();
  const auto warm = engine.submit_greedy(prompt, 5);
  engine.run_all();
  EXPECT_EQ(cold.now().started, (Usage{.input_tokens = 6, .cache_creation_tokens = 24}));
  EXPECT_EQ(warm.now().started, (Usage{.input_tokens = 6, .cache_read_tokens = 24}));
  EXPECT_EQ(warm.now().tokens, cold.now().tokens);
  EXPECT_EQ(engine.loop->status().cached_tokens, 24U);
}

TEST(EngineLoop, KnowsTheUsageOfAPromptBeforeItIsComputed) {
  for (const auto mixing : {StepMixing::kRagged, StepMixing::kChunkOrSingles}) {
    Stepper engine({.chunk_tokens_max = 16, .mixing = mixing, .block_tokens = 8});
    engine.submit_greedy(prompt_of(20), 1);
    engine.run_all();
    const auto recorder = engine.submit_greedy(prompt_of(60), 2);
    EXPECT_FALSE(engine.loop->prompt_usage(engine.last_id));
    engine.step();
    const auto known = engine.loop->prompt_usage(engine.last_id);
    EXPECT_EQ(known,
              (Usage{.input_tokens = 4, .cache_read_tokens = 16, .cache_creation_tokens = 40}));
    engine.run_all();
    EXPECT_EQ(recorder.now().started, known);
    EXPECT_FALSE(engine.loop->prompt_usage(engine.last_id));
  }
}

TEST(EngineLoop, ExpectsToKeepNothingOfAPromptWithoutTheCache) {
  Stepper engine({.chunk_tokens_max = 16, .block_tokens = 8});
  engine.submit({.prompt = prompt_of(60), .tokens_max = 1, .use_prefix_cache = false});
  engine.step();
  EXPECT_EQ(engine.loop->prompt_usage(engine.last_id), (Usage{.input_tokens = 60}));
}

TEST(EngineLoop, CountsTheBlockOfAPromptsLastTokenAsInput) {
  Stepper engine({.block_tokens = 8});
  const auto recorder = engine.submit_greedy(prompt_of(32), 1);
  engine.run_all();
  EXPECT_EQ(recorder.now().started, (Usage{.input_tokens = 8, .cache_creation_tokens = 24}));
}

TEST(EngineLoop, ComputesTheLastTokensOfAPromptThatIsCachedWhole) {
  Stepper engine({.block_tokens = 8});
  for (int i = 0; i < 2; ++i) {
    const auto recorder = engine.submit_greedy(prompt_of(16), 3);
    engine.run_all();
    EXPECT_EQ(recorder.now().tokens, engine.decoder->expected_greedy(prompt_of(16), 3));
    EXPECT_EQ(recorder.now().started->prompt_tokens(), 16U);
    EXPECT_EQ(recorder.now().started->cache_read_tokens, i == 0 ? 0U : 8U);
  }
}

TEST(EngineLoop, ReusesWhatItGeneratedInTheNextTurn) {
  Stepper engine({.block_tokens = 8});
  auto conversation = prompt_of(16);
  const auto first = engine.submit_greedy(conversation, 20);
  engine.run_all();
  for (const TokenId token : first.now().tokens) conversation.push_back(token);
  conversation.push_back(7);
  const auto second = engine.submit_greedy(conversation, 3);
  engine.run_all();
  EXPECT_EQ(second.now().started->cache_read_tokens, 32U);
  EXPECT_EQ(second.now().tokens, engine.decoder->expected_greedy(conversation, 3));
}

TEST(EngineLoop, SharesAPrefixBetweenRequestsThatComeTogether) {
  Stepper engine({.slot_tokens_max = 400, .chunk_tokens_max = 32, .block_tokens = 8});
  std::vector<EventRecorder> recorders;
  for (TokenId i = 0; i < 4; ++i) {
    auto prompt = prompt_of(160);
    prompt.push_back(i);
    prompt.push_back(i);
    recorders.push_back(engine.submit_greedy(prompt, 2));
  }
  engine.run_all();
  EXPECT_LT(engine.decoder->counts().tokens, 2 * 160U);
  for (const auto& recorder : recorders) EXPECT_EQ(recorder.now().started->prompt_tokens(), 162U);
}

TEST(EngineLoop, SharesNothingAcrossScopesAndNothingWhenToldSo) {
  Stepper engine;
  const auto usage = [&](std::string scope, bool use_prefix_cache) {
    const auto recorder = engine.submit({.prompt = prompt_of(40),
                                         .sampling = {.temperature = 0},
                                         .tokens_max = 1,
                                         .use_prefix_cache = use_prefix_cache,
                                         .cache_scope = std::move(scope)});
    engine.run_all();
    return *recorder.now().started;
  };
  EXPECT_EQ(usage("one", true).cache_read_tokens, 0U);
  EXPECT_EQ(usage("two", true).cache_read_tokens, 0U);
  EXPECT_EQ(usage("one", false), (Usage{.input_tokens = 40}));
  EXPECT_GT(usage("one", true).cache_read_tokens, 0U);
}

TEST(EngineLoop, ComputesTheRestWhenAnImportFails) {
  Stepper engine({.block_tokens = 8});
  const auto prompt = prompt_of(40);
  engine.submit_greedy(prompt, 2);
  engine.run_all();
  engine.decoder->fail_import(2);
  const auto recorder = engine.submit_greedy(prompt, 4);
  engine.run_all();
  EXPECT_EQ(recorder.now().tokens, engine.decoder->expected_greedy(prompt, 4));
  EXPECT_EQ(recorder.now().started, (Usage{.input_tokens = 32, .cache_read_tokens = 8}));
}

TEST(EngineLoop, GoesOnWithoutTheCacheWhenAnExportFails) {
  Stepper engine({.block_tokens = 8});
  engine.decoder->fail_export(1);
  const auto recorder = engine.submit_greedy(prompt_of(40), 2);
  engine.run_all();
  EXPECT_TRUE(recorder.now().finished);
  EXPECT_EQ(recorder.now().started->prompt_tokens(), 40U);
}

TEST(EngineLoop, CancelsARunningSequenceWithinOneStep) {
  Stepper engine;
  const auto recorder = engine.submit_greedy(prompt_of(5), 100);
  engine.step();
  engine.step();
  engine.loop->cancel(engine.last_id);
  engine.step();
  ASSERT_TRUE(recorder.now().failed);
  EXPECT_EQ(recorder.now().failed->code, ErrorCode::kCancelled);
  EXPECT_EQ(engine.loop->status().running, 0U);
  EXPECT_EQ(engine.loop->status().sequences_cancelled, 1U);
  EXPECT_EQ(engine.loop->status().kv_bytes_in_use, 0U);
}

TEST(EngineLoop, CancelsAWaitingSequence) {
  Stepper engine({.slots = 1});
  const auto first = engine.submit_greedy({1}, 5);
  const auto second = engine.submit_greedy({2}, 5);
  engine.loop->cancel(engine.last_id);
  engine.run_all();
  EXPECT_TRUE(first.now().finished);
  EXPECT_FALSE(second.now().started);
  EXPECT_EQ(second.now().failed->code, ErrorCode::kCancelled);
}

TEST(EngineLoop, IgnoresCancelsOfWhatIsOverOrNeverWas) {
  Stepper engine;
  engine.submit_greedy({1}, 1);
  engine.run_all();
  engine.loop->cancel(engine.last_id);
  engine.loop->cancel(SequenceId{12345});
  EXPECT_FALSE(engine.step());
}

TEST(EngineLoop, CancelsAPrefillWithinOneChunk) {
  std::function<void()> during_forward = [] {};
  Stepper engine({.chunk_tokens_max = 16,
                  .block_tokens = 8,
                  .before_forward = [&](std::span<const Step>) { during_forward(); }});
  const auto recorder = engine.submit_greedy(prompt_of(100), 1);
  engine.step();
  during_forward = [&] { engine.loop->cancel(engine.last_id); };
  engine.run_all();
  EXPECT_EQ(recorder.now().failed->code, ErrorCode::kCancelled);
  EXPECT_EQ(engine.decoder->counts().forwards, 2U);
}

TEST(EngineLoop, PrefillThatWasCancelledIsReusedByTheNext) {
  Stepper engine({.chunk_tokens_max = 16, .block_tokens = 8});
  engine.submit_greedy(prompt_of(100), 1);
  engine.step();
  engine.step();
  engine.loop->cancel(engine.last_id);
  engine.run_all();
  const auto again = engine.submit_greedy(prompt_of(100), 1);
  engine.run_all();
  EXPECT_EQ(again.now().started->cache_read_tokens, 32U);
  EXPECT_EQ(engine.loop->status().prefill_tokens, 100U);
  EXPECT_EQ(again.now().tokens, engine.decoder->expected_greedy(prompt_of(100), 1));
}

TEST(EngineLoop, FailsTheSequencesOfAFailedStepAndGoesOn) {
  Stepper engine;
  const auto hit = engine.submit_greedy(prompt_of(5), 10);
  engine.decoder->fail_forward(3);
  engine.run_all();
  ASSERT_TRUE(hit.now().failed);
  EXPECT_EQ(hit.now().failed->code, ErrorCode::kInternal);
  EXPECT_EQ(engine.loop->status().sequences_failed, 1U);
  EXPECT_FALSE(engine.loop->status().failed);
  const auto next = engine.submit_greedy(prompt_of(5), 10);
  engine.run_all();
  EXPECT_EQ(next.now().tokens, engine.decoder->expected_greedy(prompt_of(5), 10));
}

TEST(EngineLoop, SparesSequencesThatWereNotInTheFailedStep) {
  Stepper engine;
  const auto decoding = engine.submit_greedy({1, 2}, 10);
  engine.step();
  const auto prefilling = engine.submit_greedy(prompt_of(20), 3);
  engine.step();                    // A decode step: the last one was a chunk.
  engine.decoder->fail_forward(1);  // The chunk of `prefilling`.
  engine.run_all();
  EXPECT_TRUE(prefilling.now().failed);
  EXPECT_TRUE(decoding.now().finished);
}

TEST(EngineLoop, SaysWhenTheDecoderFailsAgainAndAgain) {
  Stepper engine;
  for (std::uint64_t n = 1; n <= 3; ++n) engine.decoder->fail_forward(n);
  for (int i = 0; i < 3; ++i) {
    engine.submit_greedy({1}, 1);
    engine.run_all();
  }
  EXPECT_TRUE(engine.loop->status().failed);
  engine.submit_greedy({1}, 1);
  engine.run_all();
  EXPECT_FALSE(engine.loop->status().failed);
}

TEST(EngineLoop, GivesSampledTokensThatDependOnTheSeedAlone) {
  Stepper engine({.slots = 4});
  const SequenceRequest request{.prompt = prompt_of(9),
                                .sampling = {.temperature = 1.5F, .top_p = 0.9F, .seed = 77},
                                .tokens_max = 30};
  const auto alone = engine.submit(copy_of(request));
  engine.run_all();
  engine.submit_greedy(prompt_of(50), 40);
  engine.step();
  const auto among = engine.submit(copy_of(request));
  engine.submit_greedy({3}, 40);
  engine.run_all();
  EXPECT_EQ(alone.now().tokens, among.now().tokens);
}

TEST(EngineLoop, DrawsDifferentlyForRequestsWithoutASeed) {
  Stepper engine;
  const SequenceRequest request{.prompt = prompt_of(9), .tokens_max = 30};
  const auto one = engine.submit(copy_of(request));
  const auto other = engine.submit(copy_of(request));
  engine.run_all();
  EXPECT_NE(one.now().tokens, other.now().tokens);
}

TEST(EngineLoop, CountsEverything) {
  Stepper engine;
  engine.submit_greedy(prompt_of(10), 4);
  engine.submit_greedy(prompt_of(12, 50), 3);
  engine.run_all();
  const EngineStatus status = engine.loop->status();
  EXPECT_EQ(status.sequences_finished, 2U);
  EXPECT_EQ(status.prompt_tokens, 22U);
  EXPECT_EQ(status.generated_tokens, 7U);
  EXPECT_EQ(status.slots, 4U);
  EXPECT_GT(status.prefix_cache_bytes, 0U);
  EXPECT_EQ(status.prefill_tokens, 22U);
  EXPECT_EQ(status.decode_tokens, 5U);
  EXPECT_GT(status.prefill_seconds, 0);
  EXPECT_GT(status.decode_seconds, 0);
}

TEST(EngineLoop, CountsTheTokensOfMixedSteps) {
  Stepper engine({.mixing = StepMixing::kRagged});
  engine.submit_greedy(prompt_of(10), 4);
  engine.step();
  engine.submit_greedy(prompt_of(12, 50), 3);
  engine.run_all();
  EXPECT_EQ(engine.loop->status().prefill_tokens, 22U);
  EXPECT_EQ(engine.loop->status().decode_tokens, 5U);
}

}  // namespace
}  // namespace onnxlocal
