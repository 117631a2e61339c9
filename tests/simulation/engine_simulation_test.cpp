// A seeded simulation of the engine over the fake decoder.
//
// Each world is made from one seed: the decoder's and the engine's limits, who guesses tokens
// ahead, the requests (with shared prefixes, live or batch, free or held to a constraint), when
// they come, which are cancelled, how late masks are, and which calls of the decoders fail. The
// engine's loop is driven step by step on this thread, so a seed gives the same run each time.
// After every step the invariants hold; at the end every request has its one last event, and its
// tokens are what the same request gets from an engine of its own (all of them, or the first ones
// where it was cancelled or its step failed).
//
// ONNX_LOCAL_SIMULATION_SEED=n runs one world; ONNX_LOCAL_SIMULATION_SECONDS=n goes on for so long.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/environment.h"
#include "base/log.h"
#include "engine/loop.h"
#include "event_recorder.h"
#include "fake_constraint.h"
#include "fake_decoder.h"
#include "requests.h"

namespace onnxlocal {
namespace {

constexpr int kSecondsInCi = 8;
constexpr std::uint32_t kVocabulary =
    40;  ///< Few tokens: end tokens and common prefixes come often.

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  /// In [low, high].
  std::uint32_t between(std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>(random_() % (std::uint64_t{high} - low + 1));
  }
  bool one_in(std::uint32_t n) { return between(1, n) == 1; }
  std::uint64_t seed() { return random_(); }

 private:
  std::mt19937_64 random_;
};

struct Planned {
  SequenceRequest request;
  std::optional<FakeConstraintOptions> constraint;
  std::uint32_t comes_at = 0;                    ///< Step.
  std::optional<std::uint32_t> cancelled_after;  ///< Steps after it came.
};

struct World {
  FakeDecoderOptions decoder;
  EngineOptions engine;
  std::vector<Planned> plan;
};

SequenceRequest request_of(const Planned& planned) {
  SequenceRequest request = copy_of(planned.request);
  if (planned.constraint) {
    request.constraint = std::make_unique<FakeConstraint>(*planned.constraint);
  }
  return request;
}

std::vector<TokenId> random_tokens(Dice& dice, std::uint32_t size) {
  std::vector<TokenId> tokens(size);
  for (TokenId& token : tokens) token = static_cast<TokenId>(dice.between(0, kVocabulary - 1));
  return tokens;
}

std::optional<FakeConstraintOptions> random_constraint(Dice& dice) {
  if (!dice.one_in(3)) return std::nullopt;
  FakeConstraintOptions options{.vocabulary_size = kVocabulary, .seed = dice.seed()};
  if (dice.one_in(8)) options.nothing_after = dice.between(0, 20);
  if (dice.one_in(8)) options.mask_fails_after = dice.between(0, 20);
  if (dice.one_in(8)) options.commit_fails_after = dice.between(1, 20);
  return options;
}

SamplingOptions random_sampling(Dice& dice) {
  SamplingOptions sampling{.temperature = 0};
  if (dice.one_in(2)) return sampling;
  sampling.temperature = 0.5F + 0.1F * static_cast<float>(dice.between(0, 10));
  if (dice.one_in(3)) sampling.top_k = dice.between(1, 20);
  if (dice.one_in(3)) sampling.top_p = 0.8F;
  if (dice.one_in(4)) sampling.min_p = 0.05F;
  if (dice.one_in(4)) sampling.repetition_penalty = 1.2F;
  if (dice.one_in(4)) sampling.frequency_penalty = 0.5F;
  if (dice.one_in(4)) sampling.logprobs = dice.between(0, 5);
  sampling.seed = dice.seed();
  return sampling;
}

/// A model that mostly repeats what stood `period` tokens ago, so that guesses are often right.
std::function<std::optional<TokenId>(std::span<const TokenId>)> repeating_text(
    std::uint32_t period) {
  return [period](std::span<const TokenId> prefix) -> std::optional<TokenId> {
    if (prefix.size() < period || prefix.size() % 7 == 0) return std::nullopt;
    return prefix[prefix.size() - period];
  };
}

Planned random_plan(Dice& dice, const std::vector<TokenId>& prefix) {
  Planned planned;
  auto& prompt = planned.request.prompt;
  prompt.assign(prefix.begin(),
                prefix.begin() + dice.between(0, static_cast<std::uint32_t>(prefix.size())));
  for (const TokenId token : random_tokens(dice, dice.between(0, 6))) prompt.push_back(token);
  planned.request.sampling = random_sampling(dice);
  planned.request.tokens_max = dice.one_in(6) ? 32000 : dice.between(1, 40);
  planned.request.use_prefix_cache = !dice.one_in(6);
  planned.request.cache_scope = dice.one_in(3) ? "one" : "two";
  if (dice.one_in(2)) planned.request.priority = Priority::kBatch;
  planned.constraint = random_constraint(dice);
  planned.comes_at = dice.between(0, 60);
  if (dice.one_in(4)) planned.cancelled_after = dice.between(0, 30);
  return planned;
}

World make_world(std::uint64_t seed) {
  Dice dice(seed);
  World world;
  const std::uint32_t context = dice.between(16, 160);
  world.decoder = {.vocabulary_size = kVocabulary,
                   .slots = dice.between(1, 6),
                   .slot_tokens_max = context,
                   .chunk_tokens_max = dice.between(1, 48),
                   .mixing = dice.one_in(2) ? StepMixing::kRagged : StepMixing::kChunkOrSingles,
                   .block_tokens = dice.between(1, 12),
                   .kv_bytes_per_token = 4};
  world.engine = {.chunk_tokens = dice.between(1, 64),
                  .queue_max = dice.between(0, 12),
                  .batch_queue_max = dice.between(0, 12),
                  .kv_bytes_max = std::size_t{4} * context * dice.between(1, 5),
                  .prefix_cache_bytes_max = dice.one_in(5) ? 0 : dice.between(0, 4000),
                  .random_seed = seed};
  // A ragged step has room for every slot.
  world.decoder.chunk_tokens_max = std::max(world.decoder.chunk_tokens_max, world.decoder.slots);
  world.engine.speculation.measure_costs = false;  // Times would not be the same again.
  const std::uint32_t block = world.decoder.block_tokens;
  if (dice.one_in(2)) {
    world.decoder.pool_blocks = dice.between(2, 1 + 3 * context / block);
  }
  if (dice.one_in(2)) world.decoder.scripted_next = repeating_text(dice.between(2, 9));
  if (dice.one_in(2)) world.engine.end_tokens = {3, 7};

  std::vector<std::vector<TokenId>> prefixes;
  for (int i = 0; i < 3; ++i) prefixes.push_back(random_tokens(dice, dice.between(0, context)));
  const std::uint32_t requests = dice.between(1, 25);
  for (std::uint32_t i = 0; i < requests; ++i) {
    world.plan.push_back(random_plan(dice, prefixes[dice.between(0, 2)]));
  }
  return world;
}

/// What the request gets when it is alone, without a cache and without guesses.
Recorded oracle(const World& world, const Planned& planned) {
  EngineOptions options = world.engine;
  options.prefix_cache_bytes_max = 0;
  EngineLoop loop(std::make_unique<FakeDecoder>(world.decoder), nullptr, options, nullptr,
                  masks_at_once());
  EventRecorder recorder;
  EXPECT_TRUE(loop.submit(request_of(planned), recorder.sink()));
  while (loop.run_one_step()) {
  }
  return recorder.now();
}

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : dice_(~seed), world_(make_world(seed)) {
    auto decoder = std::make_unique<FakeDecoder>(world_.decoder);
    decoder_ = decoder.get();
    world_.engine.now = [this] { return now_; };
    loop_ = std::make_unique<EngineLoop>(std::move(decoder), nullptr, world_.engine, drafter(),
                                         masks_.dispatch());
    has_faults_ = dice_.one_in(2);
    seconds_per_step_ = dice_.between(0, 30);
    steps_per_mask_ = dice_.between(0, 6);
  }

  void run() {
    std::ranges::sort(world_.plan, {}, &Planned::comes_at);
    std::size_t next = 0;
    for (std::uint32_t step = 0; next < world_.plan.size() || step <= last_step_; ++step) {
      for (; next < world_.plan.size() && world_.plan[next].comes_at == step; ++next) {
        submit(world_.plan[next], step);
      }
      for (const Live& live : live_) {
        if (live.cancel_at == step) loop_->cancel(live.id);
      }
      if (has_faults_) inject_faults();
      run_step();
      if (::testing::Test::HasFailure()) return;
    }
    for (int step = 0; ran_; ++step) {
      ASSERT_LT(step, 100000) << "the engine does not come to rest";
      run_step();
      if (::testing::Test::HasFailure()) return;
    }
    check_end();
  }
  EngineStatus status() const { return loop_->status(); }

 private:
  struct Live {
    SequenceId id;
    const Planned* planned = nullptr;
    EventRecorder recorder;
    std::optional<std::uint32_t> cancel_at;
  };

  /// None, prompt lookup, or a model that mostly says the same.
  std::unique_ptr<Drafter> drafter() {
    if (world_.decoder.mixing != StepMixing::kRagged || dice_.one_in(4)) return nullptr;
    if (dice_.one_in(2)) return make_prompt_lookup(world_.decoder.slots);
    FakeDecoderOptions options = world_.decoder;
    if (dice_.one_in(3)) options.mixing = StepMixing::kChunkOrSingles;
    if (dice_.one_in(3)) options.slot_tokens_max = dice_.between(2, options.slot_tokens_max);
    if (dice_.one_in(2)) options.model_seed = 2;
    auto draft = std::make_unique<FakeDecoder>(options);
    draft_decoder_ = draft.get();
    auto made = make_draft_model(std::move(draft), decoder_->limits());
    EXPECT_TRUE(made.has_value());
    return *std::move(made);
  }

  void run_step() {
    now_ += std::chrono::seconds(seconds_per_step_);
    ran_ = loop_->run_one_step();
    check_step();
    // Where nothing else runs, a mask is what the engine waits for.
    bool must_come = !ran_;
    while (masks_.waiting() > 0 &&
           (must_come || steps_per_mask_ == 0 || dice_.one_in(steps_per_mask_))) {
      masks_.run_one();
      must_come = false;
      ran_ = true;
    }
  }

  void submit(const Planned& planned, std::uint32_t step) {
    EventRecorder recorder;
    const auto id = loop_->submit(request_of(planned), recorder.sink());
    if (!id) {
      check_refusal(planned.request, id.error());
      return;
    }
    Live live{.id = *id, .planned = &planned, .recorder = recorder, .cancel_at = {}};
    if (planned.cancelled_after) {
      live.cancel_at = step + *planned.cancelled_after;
      last_step_ = std::max(last_step_, *live.cancel_at);
    }
    live_.push_back(std::move(live));
  }

  void check_refusal(const SequenceRequest& request, const Error& error) const {
    switch (error.code) {
      case ErrorCode::kInvalidRequest: EXPECT_TRUE(request.prompt.empty()); break;
      case ErrorCode::kPromptTooLong:
        EXPECT_GT(request.prompt.size(), world_.decoder.slot_tokens_max);
        break;
      case ErrorCode::kOverloaded: {
        const std::size_t pool =
            std::size_t{world_.decoder.pool_blocks} * world_.decoder.block_tokens;
        if (pool > 0 && request.prompt.size() > pool) break;
        std::size_t unfinished = 0;
        for (const Live& live : live_) {
          const bool is_of_kind = live.planned->request.priority == request.priority;
          unfinished += is_of_kind && !live.recorder.now().has_ended() ? 1 : 0;
        }
        const bool is_batch = request.priority == Priority::kBatch;
        const auto& engine = world_.engine;
        EXPECT_EQ(unfinished,
                  world_.decoder.slots + (is_batch ? engine.batch_queue_max : engine.queue_max));
        break;
      }
      default: ADD_FAILURE() << describe(error);
    }
  }

  void inject_faults() {
    if (dice_.one_in(40)) decoder_->fail_forward(1);
    if (dice_.one_in(20)) decoder_->fail_import(dice_.between(1, 4));
    if (dice_.one_in(20)) decoder_->fail_export(dice_.between(1, 4));
    if (draft_decoder_ && dice_.one_in(20)) draft_decoder_->fail_forward(dice_.between(1, 3));
  }

  void check_step() {
    const auto sound = loop_->check_invariants();
    ASSERT_TRUE(sound.has_value()) << sound.error().message;
    const EngineStatus status = loop_->status();
    EXPECT_LE(status.running, world_.decoder.slots);
    EXPECT_LE(status.kv_bytes_in_use, world_.engine.kv_bytes_max);
    EXPECT_LE(status.prefix_cache_bytes, world_.engine.prefix_cache_bytes_max);
  }

  void check_end() const {
    EXPECT_EQ(decoder_->counts().violations, std::vector<std::string>{});
    const EngineStatus status = loop_->status();
    if (draft_decoder_) {
      EXPECT_EQ(draft_decoder_->counts().violations, std::vector<std::string>{});
    }
    EXPECT_LE(status.accepted_tokens, status.draft_tokens);
    EXPECT_LE(status.accepted_tokens, status.generated_tokens);
    EXPECT_EQ(status.queued + status.running, 0U);
    EXPECT_EQ(status.kv_bytes_in_use, 0U);
    EXPECT_EQ(status.sequences_finished + status.sequences_cancelled + status.sequences_failed,
              live_.size());
    for (const Live& live : live_) check_sequence(live);
  }

  void check_sequence(const Live& live) const {
    const Recorded got = live.recorder.now();
    EXPECT_EQ(got.violations, std::vector<std::string>{});
    ASSERT_TRUE(got.has_ended()) << "sequence " << live.id.value << " never ended";
    const Recorded alone = oracle(world_, *live.planned);
    if (got.started) {
      EXPECT_EQ(got.started->prompt_tokens(), live.planned->request.prompt.size());
    }
    if (got.failed) {
      check_failure(live, got, alone);
      return;
    }
    ASSERT_TRUE(alone.finished) << "sequence " << live.id.value << " fails alone";
    EXPECT_EQ(got.tokens, alone.tokens);
    EXPECT_EQ(got.finished->reason, alone.finished->reason);
    EXPECT_EQ(got.finished->usage.output_tokens, alone.finished->usage.output_tokens);
    EXPECT_EQ(got.finished->usage.prompt_tokens(), live.planned->request.prompt.size());
    for (std::size_t i = 0; i < std::min(got.reports.size(), alone.reports.size()); ++i) {
      EXPECT_EQ(got.reports[i].chosen, alone.reports[i].chosen);
      EXPECT_EQ(got.reports[i].alternatives, alone.reports[i].alternatives);
    }
  }

  /// Cancelled, or hit by a fault, somewhere on its way; or its constraint ends it where it always
  /// does.
  void check_failure(const Live& live, const Recorded& got, const Recorded& alone) const {
    const bool may_cancel = got.failed->code == ErrorCode::kCancelled && live.cancel_at;
    const bool is_fault = has_faults_ && got.failed->code == ErrorCode::kInternal &&
                          got.failed->message == "the fake decoder was told to fail";
    if (may_cancel || is_fault) {
      ASSERT_LE(got.tokens.size(), alone.tokens.size());
      EXPECT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), alone.tokens.begin()));
      return;
    }
    ASSERT_TRUE(alone.failed) << describe(*got.failed);
    EXPECT_EQ(got.failed->message, alone.failed->message);
    EXPECT_EQ(got.tokens, alone.tokens);
  }

  Dice dice_;
  World world_;
  ManualMasks masks_;
  std::uint32_t steps_per_mask_ = 0;  ///< About; 0: they are there before the next step.
  FakeDecoder* decoder_ = nullptr;
  FakeDecoder* draft_decoder_ = nullptr;
  std::chrono::steady_clock::time_point now_;
  std::uint32_t seconds_per_step_ = 0;
  std::unique_ptr<EngineLoop> loop_;
  std::vector<Live> live_;
  std::uint32_t last_step_ = 60;
  bool has_faults_ = false;
  bool ran_ = false;
};

/// What happened in all worlds together: a simulation in which it never does tests nothing.
struct Tally {
  std::uint64_t worlds = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t masks_late = 0;
};

void run_seed(std::uint64_t seed, Tally& tally) {
  SCOPED_TRACE(fmt::format("again: ONNX_LOCAL_SIMULATION_SEED={}", seed));
  Simulation simulation(seed);
  simulation.run();
  ++tally.worlds;
  tally.preemptions += simulation.status().preemptions;
  tally.masks_late += simulation.status().masks_late;
}

TEST(EngineSimulation, GivesEachRequestWhatItGetsAlone) {
  spdlog::set_level(spdlog::level::off);  // The faults are ours.
  Tally tally;
  if (const auto seed = environment_variable("ONNX_LOCAL_SIMULATION_SEED")) {
    run_seed(std::strtoull(seed->c_str(), nullptr, 10), tally);
    return;
  }
  const auto seconds = environment_variable("ONNX_LOCAL_SIMULATION_SECONDS");
  const auto limit =
      std::chrono::seconds(seconds ? std::strtol(seconds->c_str(), nullptr, 10) : kSecondsInCi);
  // CI runs the same worlds each time; a long run is for new ones.
  std::uint64_t seed = seconds ? std::random_device{}() : 1;
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < limit && !HasFailure()) {
    run_seed(seed++, tally);
  }
  RecordProperty("worlds", std::to_string(tally.worlds));
  RecordProperty("preemptions", std::to_string(tally.preemptions));
  RecordProperty("masks_late", std::to_string(tally.masks_late));
  EXPECT_GT(tally.worlds, 0U);
  EXPECT_GT(tally.preemptions, 0U);
  EXPECT_GT(tally.masks_late, 0U);
}

}  // namespace
}  // namespace onnxlocal
