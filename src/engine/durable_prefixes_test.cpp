// Prefixes that outlive the memory cache and the engine: whole engines over the fake decoder and a
// real folder. Blocks of 8 tokens; whatever the disk does, answers are the model's own.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "engine/disk_pool.h"
#include "engine/engine.h"
#include "event_recorder.h"
#include "fake_decoder.h"
#include "faulty_files.h"
#include "requests.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<TokenId>;

constexpr std::size_t kBlockBytes = sizeof(std::uint64_t) + 8 * sizeof(TokenId);

class DurablePrefixesTest : public ::testing::Test {
 protected:
  DurablePrefixesTest() { fs::remove_all(folder); }
  ~DurablePrefixesTest() override {
    stop();
    fs::remove_all(folder);
  }

  void start(std::size_t memory_blocks = 1000, StepMixing mixing = StepMixing::kRagged) {
    stop();
    auto owned = std::make_unique<FakeDecoder>(
        FakeDecoderOptions{.slot_tokens_max = 1000, .chunk_tokens_max = 64, .mixing = mixing});
    decoder = owned.get();
    auto started = Engine::start(
        std::move(owned), nullptr,
        {.prefix_cache_bytes_max = memory_blocks * kBlockBytes,
         .cache_key = "hash",
         .disk_cache = {.folder = folder, .bytes_max = 1 << 20, .open_file = disk.opener()},
         .now = [this] { return std::chrono::steady_clock::now() + clock_ahead.load(); }});
    ASSERT_TRUE(started) << started.error().message;
    engine = *std::move(started);
  }
  void stop() {
    if (!engine) return;
    engine->shut_down(Deadline::after(std::chrono::seconds(20)));
    EXPECT_EQ(decoder->counts().violations, std::vector<std::string>{});
    engine.reset();
  }

  EventRecorder submit(SequenceRequest request) {
    request.tokens_max = 4;
    request.sampling.temperature = 0;
    EventRecorder recorder;
    const auto id = engine->submit(std::move(request), recorder.sink());
    EXPECT_TRUE(id) << id.error().message;
    return recorder;
  }
  /// The answer is the model's, and the usage accounts for every token of the prompt.
  CacheReport run(const Tokens& prompt, std::string scope = {}) {
    const Recorded result = submit({.prompt = prompt, .cache_scope = std::move(scope)}).wait();
    EXPECT_EQ(result.tokens, decoder->expected_greedy(prompt, 4));
    EXPECT_EQ(result.started->prompt_tokens(), prompt.size());
    EXPECT_EQ(result.cache.read_tokens, result.started->cache_read_tokens);
    return result.cache;
  }
  /// A prompt of 500 tokens whose blocks the disk has, after a restart.
  EventRecorder submit_while_the_disk_hangs() {
    start();
    run(prompt_of(500));
    start();
    disk.hang_reads();
    return submit({.prompt = prompt_of(500)});
  }

  FaultyFiles disk;
  fs::path folder = fs::path(testing::TempDir()) / "durable_prefixes_test";
  std::atomic<std::chrono::seconds> clock_ahead{std::chrono::seconds(0)};
  FakeDecoder* decoder = nullptr;
  std::unique_ptr<Engine> engine;
};

TEST_F(DurablePrefixesTest, SurviveARestart) {
  const Tokens prompt = prompt_of(500);
  start();
  EXPECT_EQ(run(prompt).read_tokens, 0U);
  start();
  EXPECT_EQ(run(prompt).read_tokens, 496U);
  EXPECT_EQ(engine->status().disk_cached_tokens, 496U);
  EXPECT_LE(decoder->counts().tokens, 8U);
}

TEST_F(DurablePrefixesTest, SurviveARestartWhereStepsDoNotMix) {
  const Tokens prompt = prompt_of(500);
  start(1000, StepMixing::kChunkOrSingles);
  run(prompt);
  start(1000, StepMixing::kChunkOrSingles);
  EXPECT_EQ(run(prompt).read_tokens, 496U);
}

TEST_F(DurablePrefixesTest, ServeAnotherQuestionAfterARestart) {
  Tokens prompt = prompt_of(500);
  start();
  run(prompt);
  start();
  prompt.resize(400);
  prompt.insert(prompt.end(), 30, 299);
  const CacheReport report = run(prompt);
  EXPECT_EQ(report.read_tokens, 400U);
  EXPECT_EQ(report.first_difference, 400U);
  EXPECT_EQ(report.reason, "new from token 400 on");
}

TEST_F(DurablePrefixesTest, ComeBackAfterMemoryForgotThem) {
  start(20);
  const Tokens prompt = prompt_of(130);
  run(prompt);
  // Written beside the engine: at first the blocks may not be there yet.
  std::uint32_t read_tokens = 0;
  for (int i = 0; i < 1000 && read_tokens < 128; ++i) {
    for (TokenId other = 1; other < 5; ++other) run(prompt_of(150, 50 * other));
    read_tokens = run(prompt).read_tokens;
  }
  EXPECT_EQ(read_tokens, 128U);
  EXPECT_GT(engine->status().disk_cached_tokens, 0U);
}

TEST_F(DurablePrefixesTest, StayPinnedAcrossARestart) {
  const Tokens prompt = prompt_of(500);
  start();
  submit({.prompt = prompt, .pins = {{.tokens = 250, .ttl = std::chrono::minutes(5)}}}).wait();
  EXPECT_EQ(engine->status().disk_cache_pinned_bytes, 31 * kBlockBytes);
  start();
  EXPECT_EQ(engine->status().disk_cache_pinned_bytes, 31 * kBlockBytes);
}

TEST_F(DurablePrefixesTest, AreNotSharedAcrossScopes) {
  start();
  run(prompt_of(100), "one");
  start();
  EXPECT_EQ(run(prompt_of(100), "two").read_tokens, 0U);
  EXPECT_EQ(run(prompt_of(100), "one").read_tokens, 96U);
}

TEST_F(DurablePrefixesTest, AreReadOnceForManyThatWait) {
  start();
  run(prompt_of(500));
  start();
  std::vector<EventRecorder> recorders;
  for (int i = 0; i < 6; ++i) recorders.push_back(submit({.prompt = prompt_of(500)}));
  for (const auto& recorder : recorders) {
    EXPECT_EQ(recorder.wait().started->cache_read_tokens, 496U);
  }
  EXPECT_EQ(engine->status().disk_cached_tokens, 496U);
}

TEST_F(DurablePrefixesTest, LetOthersGoOnWhileTheDiskHangs) {
  const auto slow = submit_while_the_disk_hangs();
  run(prompt_of(20, 200));
  EXPECT_FALSE(slow.now().started);
  disk.go_on();
  EXPECT_EQ(slow.wait().started->cache_read_tokens, 496U);
}

TEST_F(DurablePrefixesTest, AreComputedWhereTheDiskHangsForTooLong) {
  const auto slow = submit_while_the_disk_hangs();
  run(prompt_of(20, 200));
  clock_ahead = std::chrono::seconds(3);
  run(prompt_of(20, 150));
  const Recorded result = slow.wait();
  EXPECT_EQ(result.started->cache_read_tokens, 0U);
  EXPECT_EQ(result.cache.reason, "the disk was too slow");
  // Nor does the next one wait for it.
  EXPECT_EQ(run(prompt_of(500)).read_tokens, 496U);
  disk.go_on();
}

TEST_F(DurablePrefixesTest, AreComputedWhereTheDiskIsBroken) {
  start();
  run(prompt_of(500));
  start();
  disk.fails_reads = true;
  const CacheReport report = run(prompt_of(500));
  EXPECT_EQ(report.read_tokens, 0U);
  EXPECT_EQ(report.reason, "damaged on disk");
}

TEST_F(DurablePrefixesTest, AreNotKeptWhereTheDiskIsFull) {
  disk.is_full = true;
  start();
  run(prompt_of(500));
  EXPECT_EQ(run(prompt_of(500)).read_tokens, 496U);
  start();
  EXPECT_EQ(run(prompt_of(500)).read_tokens, 0U);
}

TEST_F(DurablePrefixesTest, AreNotKeptWhereTheFolderCannotBe) {
  std::ofstream(folder) << "a file";
  start();
  run(prompt_of(100));
  EXPECT_EQ(run(prompt_of(100)).read_tokens, 96U);
}

TEST_F(DurablePrefixesTest, EndWithTheRequestThatIsCancelled) {
  start();
  run(prompt_of(500));
  start();
  disk.hang_reads();
  EventRecorder recorder;
  const auto id = engine->submit({.prompt = prompt_of(500), .tokens_max = 1}, recorder.sink());
  run(prompt_of(20, 200));
  engine->cancel(*id);
  EXPECT_TRUE(recorder.wait().failed);
  disk.go_on();
  // From the disk or computed anew: the read that was given up may still be going on.
  run(prompt_of(500));
}

TEST_F(DurablePrefixesTest, GiveTheModelsOwnAnswersUnderRandomUse) {
  std::mt19937 random(17);
  for (int round = 0; round < 6 && !HasFailure(); ++round) {
    start(10 + random() % 60);
    for (int i = 0; i < 10; ++i) {
      disk.fails_reads = random() % 8 == 0;
      disk.is_full = random() % 8 == 0;
      // Some share their beginning by reference, some in memory, some on disk.
      std::vector<std::pair<Tokens, EventRecorder>> asked;
      for (int k = 0; k < 4; ++k) {
        Tokens prompt = prompt_of(1 + random() % 600, static_cast<TokenId>(random() % 3));
        auto recorder = submit({.prompt = prompt, .cache_scope = random() % 4 == 0 ? "other" : ""});
        asked.emplace_back(std::move(prompt), std::move(recorder));
      }
      for (const auto& [prompt, recorder] : asked) {
        const Recorded result = recorder.wait();
        EXPECT_EQ(result.tokens, decoder->expected_greedy(prompt, 4));
        EXPECT_EQ(result.started->prompt_tokens(), prompt.size());
      }
    }
  }
}

}  // namespace
}  // namespace onnxlocal
