// Guessing ahead changes nothing but the time: the engine's loop with and without guesses, over the
// fake decoder, step by step on the test's own thread.
#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "engine/drafter.h"
#include "engine/loop.h"
#include "engine/step_costs.h"
#include "event_recorder.h"
#include "fake_decoder.h"
#include "requests.h"

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;

enum class Guesses { kNone, kPromptLookup, kDraftModel };

FakeDecoderOptions ragged(FakeDecoderOptions options = {}) {
  options.mixing = StepMixing::kRagged;
  return options;
}

/// A model that repeats what stood `period` tokens ago, but for every `exception`th token.
FakeDecoderOptions repeating(std::size_t period, std::size_t exception) {
  FakeDecoderOptions options = ragged({.slot_tokens_max = 1000, .chunk_tokens_max = 256});
  options.scripted_next = [=](std::span<const TokenId> prefix) -> std::optional<TokenId> {
    if (prefix.size() < period || prefix.size() % exception == 0) return std::nullopt;
    return prefix[prefix.size() - period];
  };
  return options;
}

struct World {
  explicit World(FakeDecoderOptions options, Guesses guesses, EngineOptions engine = {},
                 std::shared_ptr<const Tokenizer> tokenizer = nullptr) {
    engine.random_seed = 5;
    engine.speculation.measure_costs = false;
    auto owned = std::make_unique<FakeDecoder>(options);
    decoder = owned.get();
    std::unique_ptr<Drafter> drafter;
    if (guesses == Guesses::kPromptLookup) drafter = make_prompt_lookup(options.slots);
    if (guesses == Guesses::kDraftModel) {
      auto draft_decoder = std::make_unique<FakeDecoder>(options);
      draft = draft_decoder.get();
      drafter = make_draft_model(std::move(draft_decoder), decoder->limits()).value();
    }
    loop = std::make_unique<EngineLoop>(std::move(owned), std::move(tokenizer), engine,
                                        std::move(drafter));
  }
  ~World() {
    EXPECT_EQ(decoder->counts().violations, std::vector<std::string>{});
    if (draft) {
      EXPECT_EQ(draft->counts().violations, std::vector<std::string>{});
    }
  }

  EventRecorder submit(SequenceRequest request) {
    EventRecorder recorder;
    const auto submitted = loop->submit(std::move(request), recorder.sink());
    EXPECT_TRUE(submitted.has_value());
    id = submitted.value_or(SequenceId{});
    return recorder;
  }
  bool step() {
    const bool ran = loop->run_one_step();
    EXPECT_TRUE(loop->check_invariants().has_value());
    return ran;
  }
  void run_all() {
    while (step()) {
    }
  }
  Recorded answer(SequenceRequest request) {
    const auto recorder = submit(std::move(request));
    run_all();
    return recorder.now();
  }

  FakeDecoder* decoder = nullptr;
  FakeDecoder* draft = nullptr;
  std::unique_ptr<EngineLoop> loop;
  SequenceId id;
};

const Tokens kPrompt{1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2};

TEST(Speculation, GivesGreedyTokensInFewerSteps) {
  for (const Guesses guesses : {Guesses::kPromptLookup, Guesses::kDraftModel}) {
    const auto model = repeating(8, 31);
    World world(model, guesses);
    const Recorded got = world.answer(greedy(kPrompt, 200));
    EXPECT_EQ(got.tokens, world.decoder->expected_greedy(kPrompt, 200));
    EXPECT_EQ(got.finished->usage.output_tokens, 200U);
    EXPECT_LT(world.decoder->counts().forwards, 100U);
    const EngineStatus status = world.loop->status();
    EXPECT_GT(status.accepted_tokens, 100U);
    EXPECT_LE(status.accepted_tokens, status.draft_tokens);
    EXPECT_EQ(status.generated_tokens, 200U);
  }
}

TEST(Speculation, TakesWrongGuessesBack) {
  World world(repeating(8, 5), Guesses::kPromptLookup);
  const Recorded got = world.answer(greedy(kPrompt, 100));
  EXPECT_EQ(got.tokens, world.decoder->expected_greedy(kPrompt, 100));
  EXPECT_GT(world.decoder->counts().taken_back, 0U);
}

std::vector<SamplingOptions> samplers() {
  return {{},
          {.temperature = 0.7F, .top_k = 5, .logprobs = 3},
          {.temperature = 1.3F, .top_p = 0.8F, .min_p = 0.02F},
          {.temperature = 0.8F, .repetition_penalty = 1.3F, .frequency_penalty = 0.4F},
          {.temperature = 1.0F, .presence_penalty = -0.5F, .logit_bias = {{3, 2.0F}, {5, -100.0F}}},
          {.temperature = 0, .repetition_penalty = 1.1F, .logprobs = 0}};
}

TEST(Speculation, GivesTheSameDrawsWhateverTheSamplerDoes) {
  FakeDecoderOptions model = ragged({.vocabulary_size = 9, .slot_tokens_max = 500});
  for (SamplingOptions sampling : samplers()) {
    sampling.seed = 11;
    SequenceRequest request{.prompt = kPrompt, .sampling = sampling, .tokens_max = 150};
    const Recorded plain = World(model, Guesses::kNone).answer(copy_of(request));
    for (const Guesses guesses : {Guesses::kPromptLookup, Guesses::kDraftModel}) {
      World world(model, guesses);
      const Recorded got = world.answer(copy_of(request));
      EXPECT_EQ(got.tokens, plain.tokens);
      EXPECT_GT(world.loop->status().draft_tokens, 0U);
      ASSERT_EQ(got.reports.size(), plain.reports.size());
      for (std::size_t i = 0; i < got.reports.size(); ++i) {
        EXPECT_EQ(got.reports[i].chosen, plain.reports[i].chosen);
        EXPECT_EQ(got.reports[i].alternatives, plain.reports[i].alternatives);
      }
    }
  }
}

TEST(Speculation, LetsADraftModelOfTheSameMindDrawTheSame) {
  World world(ragged({.vocabulary_size = 50}), Guesses::kDraftModel);
  world.answer({.prompt = kPrompt, .sampling = {.temperature = 1.0F}, .tokens_max = 100});
  const EngineStatus status = world.loop->status();
  EXPECT_GT(status.draft_tokens, 50U);
  EXPECT_EQ(status.accepted_tokens, status.draft_tokens);
}

/// What all steps of a run cost by the table, in steps of one row.
double cost_per_token(FakeDecoderOptions model, const SequenceRequest& request, Guesses guesses) {
  double cost = 0;
  model.before_forward = [&cost](std::span<const Step> steps) {
    std::size_t rows = 0;
    for (const Step& step : steps) rows += step.tokens.size();
    if (rows < 30) cost += StepCosts{}.rows(static_cast<std::uint32_t>(rows));
  };
  World world(model, guesses);
  const Recorded got = world.answer(copy_of(request));
  return cost / static_cast<double>(got.tokens.size());
}

TEST(Speculation, CostsNothingToSpeakOfWhereGuessesFail) {
  // Few tokens, so that there are always matches; no reason in what follows them.
  const FakeDecoderOptions model =
      ragged({.vocabulary_size = 12, .slot_tokens_max = 4000, .chunk_tokens_max = 256});
  Tokens prompt;
  for (TokenId i = 0; i < 200; ++i) prompt.push_back(i * i % 11);
  for (const std::uint32_t tokens : {32U, 64U, 128U, 1000U}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const SequenceRequest request{
          .prompt = prompt, .sampling = {.seed = seed}, .tokens_max = tokens};
      EXPECT_LT(cost_per_token(model, request, Guesses::kPromptLookup), 1 / 0.97)
          << tokens << " tokens, seed " << seed;
    }
  }
}

TEST(Speculation, PaysWhereTextRepeatsItself) {
  const double cost =
      cost_per_token(repeating(8, 31), greedy(kPrompt, 300), Guesses::kPromptLookup);
  EXPECT_LT(cost, 0.5);
}

TEST(Speculation, EndsAtTokensMaxAndAtEndTokensAmongAcceptedOnes) {
  const auto model = repeating(8, 1000);
  for (const std::uint32_t tokens_max : {1U, 2U, 3U, 7U, 8U, 20U}) {
    World world(model, Guesses::kPromptLookup);
    const Recorded got = world.answer(greedy(kPrompt, tokens_max));
    EXPECT_EQ(got.tokens.size(), tokens_max);
    EXPECT_EQ(got.finished->reason, StopReason::kTokensMax);
  }
  World world(model, Guesses::kPromptLookup, {.end_tokens = {7}});
  const Recorded got = world.answer(greedy(kPrompt, 100));
  EXPECT_EQ(got.tokens, (Tokens{3, 4, 5, 6}));
  EXPECT_EQ(got.finished->reason, StopReason::kEndOfTurn);
  EXPECT_EQ(got.finished->usage.output_tokens, 5U);
  EXPECT_EQ(world.loop->status().kv_bytes_in_use, 0U);
}

TEST(Speculation, KeepsWhatItComputedForTheNextTurn) {
  const auto model = repeating(8, 13);
  World world(model, Guesses::kPromptLookup);
  Tokens conversation = kPrompt;
  const Recorded first = world.answer(greedy(conversation, 60));
  for (const TokenId token : first.tokens) conversation.push_back(token);
  conversation.push_back(100);
  const Recorded second = world.answer(greedy(conversation, 20));
  EXPECT_GT(second.started->cache_read_tokens, 60U);
  EXPECT_EQ(second.tokens, world.decoder->expected_greedy(conversation, 20));
}

TEST(Speculation, FillsTheContextToTheLastToken) {
  auto model = repeating(8, 1000);
  model.slot_tokens_max = 50;
  for (const Guesses guesses : {Guesses::kPromptLookup, Guesses::kDraftModel}) {
    World world(model, guesses);
    const Recorded got = world.answer(greedy(kPrompt, 1000));
    // The last one is not computed with.
    EXPECT_EQ(got.tokens.size(), 50 - kPrompt.size() + 1);
    EXPECT_EQ(got.finished->reason, StopReason::kContextFull);
  }
}

TEST(Speculation, LeavesNothingBehindInACancelledSlot) {
  for (const Guesses guesses : {Guesses::kPromptLookup, Guesses::kDraftModel}) {
    World world(repeating(8, 31), guesses);
    const auto cancelled_one = world.submit(greedy(kPrompt, 500));
    for (int i = 0; i < 6; ++i) world.step();
    world.loop->cancel(world.id);
    world.step();
    EXPECT_EQ(cancelled_one.now().failed->code, ErrorCode::kCancelled);
    EXPECT_EQ(world.decoder->length(SlotId{0}), 0U);
    if (world.draft) {
      EXPECT_EQ(world.draft->length(SlotId{0}), 0U);
    }
    const Tokens other{30, 31, 32, 33, 34, 35, 36, 37, 38, 30, 31};
    EXPECT_EQ(world.answer(greedy(other, 40)).tokens, world.decoder->expected_greedy(other, 40));
  }
}

TEST(Speculation, GuessesForManySequencesWithoutMixingThem) {
  auto model = repeating(8, 17);
  model.slots = 6;
  for (const Guesses guesses : {Guesses::kPromptLookup, Guesses::kDraftModel}) {
    World world(model, guesses, {.chunk_tokens = 16});
    std::vector<Tokens> prompts;
    std::vector<EventRecorder> recorders;
    for (TokenId i = 0; i < 10; ++i) {
      prompts.push_back(kPrompt);
      for (TokenId& token : prompts.back()) token += 10 * i;
      recorders.push_back(world.submit(greedy(prompts.back(), 40 + 7 * static_cast<unsigned>(i))));
      world.step();
    }
    world.run_all();
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(recorders[i].now().tokens, world.decoder->expected_greedy(prompts[i], 40 + 7 * i));
    }
    EXPECT_GT(world.loop->status().accepted_tokens, 0U);
  }
}

TEST(Speculation, GoesOnWithoutADraftModelThatFails) {
  World world(repeating(8, 31), Guesses::kDraftModel);
  for (std::uint64_t n = 2; n < 6; ++n) world.draft->fail_forward(n);
  const Recorded got = world.answer(greedy(kPrompt, 60));
  EXPECT_EQ(got.tokens, world.decoder->expected_greedy(kPrompt, 60));
  EXPECT_EQ(world.draft->counts().forwards, 1U);
}

TEST(Speculation, CutsTextAtAStopStringAmongAcceptedTokens) {
  const auto tokenizer = Tokenizer::load(std::string(ONNXLOCAL_TEST_DATA) + "/byte_tokenizer.json");
  ASSERT_TRUE(tokenizer.has_value());
  const std::string text = "one two three. one two three. one two ";
  const Tokens prompt(text.begin(), text.end());
  SequenceRequest request = greedy(prompt, 100);
  request.stop_strings = {"ree. on"};
  const auto model = repeating(15, 1000);
  World world(model, Guesses::kPromptLookup, {}, *tokenizer);
  const Recorded got = world.answer(copy_of(request));
  EXPECT_EQ(got.text, "th");
  EXPECT_EQ(got.finished->reason, StopReason::kStopString);
  EXPECT_EQ(got.finished->stop_string, "ree. on");
  const Recorded plain = World(model, Guesses::kNone, {}, *tokenizer).answer(copy_of(request));
  EXPECT_EQ(got.tokens, plain.tokens);
  EXPECT_EQ(got.finished->usage, plain.finished->usage);
  EXPECT_LT(world.decoder->counts().forwards, 6U);
}

TEST(Speculation, IsRefusedWithADraftModelThatDoesNotFit) {
  EngineOptions options;
  options.speculation.kind = Speculation::kDraftModel;
  const auto start = [&](std::unique_ptr<Decoder> draft) {
    return Engine::start(std::make_unique<FakeDecoder>(ragged()), nullptr, options,
                         std::move(draft));
  };
  EXPECT_EQ(start(nullptr).error().code, ErrorCode::kInvalidRequest);
  EXPECT_FALSE(start(std::make_unique<FakeDecoder>(FakeDecoderOptions{.vocabulary_size = 7})));
  EXPECT_FALSE(start(std::make_unique<FakeDecoder>(FakeDecoderOptions{.slots = 1})));
  EXPECT_TRUE(start(std::make_unique<FakeDecoder>()));
}

TEST(Speculation, IsOffForADecoderThatCannotMixSteps) {
  auto model = repeating(8, 31);
  model.mixing = StepMixing::kChunkOrSingles;
  auto owned = std::make_unique<FakeDecoder>(model);
  const FakeDecoder& decoder = *owned;
  const auto engine = Engine::start(std::move(owned), nullptr, {});
  ASSERT_TRUE(engine.has_value());
  EventRecorder recorder;
  ASSERT_TRUE((*engine)->submit(greedy(kPrompt, 50), recorder.sink()));
  EXPECT_EQ(recorder.wait().tokens, decoder.expected_greedy(kPrompt, 50));
  EXPECT_EQ((*engine)->status().draft_tokens, 0U);
}

TEST(Speculation, IsNamedByWords) {
  EXPECT_EQ(parse_speculation("off"), Speculation::kOff);
  EXPECT_EQ(parse_speculation("prompt-lookup"), Speculation::kPromptLookup);
  EXPECT_EQ(parse_speculation("draft"), Speculation::kDraftModel);
  EXPECT_FALSE(parse_speculation("maybe"));
}

}  // namespace
}  // namespace onnxlocal
