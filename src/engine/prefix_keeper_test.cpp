// What requests see of the prefix cache, over the fake decoder with blocks of 8 tokens.
#include "engine/prefix_keeper.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "engine/loop.h"
#include "event_recorder.h"
#include "fake_decoder.h"
#include "requests.h"

namespace onnxlocal {
namespace {

using std::chrono::seconds;
using Tokens = std::vector<TokenId>;

constexpr std::uint32_t kSize = 8;
constexpr std::size_t kBlockBytes = sizeof(std::uint64_t) + kSize * sizeof(TokenId);

class PrefixKeeperTest : public ::testing::Test {
 protected:
  void start(std::size_t blocks_max, FakeDecoderOptions decoder_options = {}) {
    decoder_options.slot_tokens_max = 1000;
    auto owned = std::make_unique<FakeDecoder>(std::move(decoder_options));
    decoder = owned.get();
    loop = std::make_unique<EngineLoop>(
        std::move(owned), nullptr,
        EngineOptions{.prefix_cache_bytes_max = blocks_max * kBlockBytes,
                      .random_seed = 1,
                      .now = [this] { return now; }});
  }
  /// Runs a request to its end; its usage must account for every token of the prompt.
  CacheReport run(SequenceRequest request) {
    const std::size_t size = request.prompt.size();
    request.tokens_max = 1;
    request.sampling.temperature = 0;
    EventRecorder recorder;
    const auto id = loop->submit(std::move(request), recorder.sink());
    EXPECT_TRUE(id.has_value());
    while (loop->run_one_step()) {
      const auto sound = loop->check_invariants();
      EXPECT_TRUE(sound.has_value()) << sound.error().message;
    }
    const Recorded result = recorder.now();
    EXPECT_TRUE(result.finished);
    EXPECT_EQ(result.started->prompt_tokens(), size);
    EXPECT_EQ(result.cache.read_tokens, result.started->cache_read_tokens);
    EXPECT_EQ(result.cache.prompt_tokens, size);
    return result.cache;
  }
  std::uint32_t read_of(const Tokens& prompt) { return run({.prompt = prompt}).read_tokens; }

  PrefixCache::TimePoint now{};
  FakeDecoder* decoder = nullptr;
  std::unique_ptr<EngineLoop> loop;
};

TEST_F(PrefixKeeperTest, KeepsAPinnedPrefixFromSmallRequests) {
  start(16);
  const Tokens prompt = prompt_of(84);
  run({.prompt = prompt, .pins = {{.tokens = 80}}});
  for (TokenId i = 1; i < 8; ++i) run({.prompt = prompt_of(60, 30 * i)});
  EXPECT_EQ(read_of(prompt), 80U);
}

TEST_F(PrefixKeeperTest, LetsAPinGoAfterItsTime) {
  start(16);
  const Tokens prompt = prompt_of(84);
  run({.prompt = prompt, .pins = {{.tokens = 80, .ttl = seconds(300)}}});
  now += seconds(301);
  for (TokenId i = 1; i < 8; ++i) run({.prompt = prompt_of(60, 30 * i)});
  EXPECT_LT(read_of(prompt), 80U);
}

TEST_F(PrefixKeeperTest, PinsOnlyWhatWasAskedFor) {
  start(16);
  const Tokens prompt = prompt_of(100);
  run({.prompt = prompt, .pins = {{.tokens = 45}}});
  run({.prompt = prompt_of(128, 150)});
  EXPECT_EQ(read_of(prompt), 40U);
}

TEST_F(PrefixKeeperTest, KeepsAnAgentsConversationFromStrangers) {
  start(16);
  const Tokens prompt = prompt_of(84);
  run({.prompt = prompt, .agent = "one"});
  for (TokenId i = 1; i < 8; ++i) run({.prompt = prompt_of(60, 30 * i)});
  EXPECT_EQ(read_of(prompt), 80U);
}

TEST_F(PrefixKeeperTest, KeepsAConversationFromItsAgentsOwnSideTalks) {
  start(16);
  const Tokens prompt = prompt_of(84);
  run({.prompt = prompt, .agent = "one"});
  for (TokenId i = 1; i < 8; ++i) run({.prompt = prompt_of(60, 30 * i), .agent = "one"});
  EXPECT_EQ(read_of(prompt), 80U);
}

TEST_F(PrefixKeeperTest, SaysWhyAPromptFoundNothing) {
  start(100);
  EXPECT_EQ(run({.prompt = prompt_of(50)}).reason, "first request of this scope");
  EXPECT_EQ(run({.prompt = prompt_of(50), .cache_scope = "other"}).reason, "another API key");
}

TEST_F(PrefixKeeperTest, SaysWhereAPromptLeftTheLastOneOfItsAgent) {
  start(100);
  Tokens prompt = prompt_of(84);
  run({.prompt = prompt, .agent = "one"});
  prompt[43] = 299;
  const CacheReport report = run({.prompt = prompt, .agent = "one"});
  EXPECT_EQ(report.read_tokens, 40U);
  EXPECT_EQ(report.first_difference, 43U);
  EXPECT_EQ(report.reason, "differs from the last prompt of this agent at token 43");
}

TEST_F(PrefixKeeperTest, SaysThatTheNextTurnIsNew) {
  start(100);
  Tokens prompt = prompt_of(84);
  run({.prompt = prompt, .agent = "one"});
  prompt.insert(prompt.end(), 100, 299);
  const CacheReport report = run({.prompt = prompt, .agent = "one"});
  EXPECT_EQ(report.read_tokens, 80U);
  EXPECT_EQ(report.reason, "new from token 84 on");
}

TEST_F(PrefixKeeperTest, SaysThatAPrefixWasEvicted) {
  start(8);
  run({.prompt = prompt_of(49)});
  run({.prompt = prompt_of(64, 100)});
  const CacheReport report = run({.prompt = prompt_of(49)});
  EXPECT_EQ(report.read_tokens, 0U);
  EXPECT_EQ(report.reason, "evicted");
  EXPECT_FALSE(report.first_difference);
}

TEST_F(PrefixKeeperTest, SaysThatTheCacheIsOff) {
  start(0);
  EXPECT_EQ(run({.prompt = prompt_of(20)}).reason, "the prefix cache is off");
}

TEST_F(PrefixKeeperTest, CountsEveryTokenOfEveryPromptOnce) {
  // `run` holds it; with pins, agents, scopes and a cache that is always too small.
  start(6);
  std::mt19937 random(5);
  for (int round = 0; round < 200 && !HasFailure(); ++round) {
    SequenceRequest request{.prompt =
                                prompt_of(1 + random() % 90, static_cast<TokenId>(random() % 3))};
    request.cache_scope = random() % 3 == 0 ? "other" : "";
    request.agent = random() % 2 == 0 ? "one" : "";
    if (random() % 2 == 0) {
      request.pins = {
          {.tokens = static_cast<std::uint32_t>(random() % 100), .ttl = seconds(random() % 20)}};
    }
    const CacheReport report = run(std::move(request));
    EXPECT_LE(report.read_tokens, report.prompt_tokens);
    now += seconds(random() % 10);
  }
}

}  // namespace
}  // namespace onnxlocal
