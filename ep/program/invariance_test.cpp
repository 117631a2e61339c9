// A row's bits depend on its own sequence alone: not on the batch, the chunks or the threads.
#include <gtest/gtest.h>

#include "program/tiny_batch.h"

namespace onnxlocal::ep::testing {
namespace {

constexpr std::size_t kVocabulary = 70;

/// With what pages hold: 16 bits or 8.
class Invariance : public ::testing::TestWithParam<std::int64_t> {
 protected:
  const TinyModel model_{
      .is_paged = true, .has_packed_qkv = true, .has_biases = true, .kv_bits = GetParam()};

  /// All tokens of one sequence, alone and at once.
  std::vector<float> alone(const Tokens& tokens, unsigned threads) const {
    TinyProgram program(model_, threads);
    PagedRun run(program, 4);
    return run.step({{run.add_sequence({0, 1, 2, 3}), tokens}});
  }
};

TEST_P(Invariance, ChunksGiveTheBitsOfTheWhole) {
  const auto tokens = random_tokens(100, 30);
  const auto whole = alone(tokens, 2);
  for (const std::size_t chunk : {1U, 7U, 32U, 63U}) {
    TinyProgram program(model_);
    PagedRun run(program, 4);
    const auto sequence = run.add_sequence({3, 1, 0, 2});
    std::vector<float> got;
    for (std::size_t first = 0; first < tokens.size(); first += chunk) {
      const auto rows = std::min(chunk, tokens.size() - first);
      const auto logits = run.step({{sequence, std::span(tokens).subspan(first, rows)}});
      got.insert(got.end(), logits.begin(), logits.end());
    }
    EXPECT_EQ(got, whole) << "chunks of " << chunk;
  }
}

TEST_P(Invariance, ARaggedBatchGivesTheBitsOfEachAlone) {
  TinyProgram program(model_);
  PagedRun run(program, 16);
  std::vector<Tokens> prompts;
  std::vector<std::vector<float>> wanted;
  std::vector<std::vector<float>> got(8);
  std::vector<std::size_t> done(8);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto first = static_cast<std::int32_t>(2 * i);
    run.add_sequence({first + 1, first});
    prompts.push_back(random_tokens(20 + 5 * i, static_cast<std::uint32_t>(40 + i)));
    wanted.push_back(alone(prompts.back(), 2));
  }
  // Each step some sequences go on by one token, some by a chunk, and some not at all.
  std::mt19937 random(50);
  for (bool is_running = true; is_running;) {
    is_running = false;
    std::vector<PagedRun::Part> parts;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const auto left = prompts[i].size() - done[i];
      is_running = is_running || left > 0;
      const std::size_t choice[] = {0, 1, 1, 9};
      const auto rows = std::min(left, choice[random() % 4]);
      parts.push_back({i, std::span(prompts[i]).subspan(done[i], rows)});
    }
    const auto logits = run.step(parts);
    std::size_t row = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const auto rows = parts[i].tokens.size();
      const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(row * kVocabulary);
      got[i].insert(got[i].end(), begin, begin + static_cast<std::ptrdiff_t>(rows * kVocabulary));
      done[i] += rows;
      row += rows;
    }
  }
  EXPECT_EQ(got, wanted);
}

TEST_P(Invariance, ThreadsDoNotChangeABit) {
  const auto tokens = random_tokens(90, 31);
  const auto one = alone(tokens, 1);
  EXPECT_EQ(alone(tokens, 2), one);
  EXPECT_EQ(alone(tokens, 5), one);
}

TEST(InvarianceOfCaches, ThoseThatGrowGiveTheBitsOfThoseThatAreShared) {
  const auto tokens = random_tokens(40, 32);
  TinyProgram program(TinyModel{});
  CacheRun shared(program, 64);
  CacheRun growing(program);
  std::vector<float> a = shared.step({tokens});
  std::vector<float> b;
  for (std::size_t first = 0; first < tokens.size(); first += 10) {
    const auto logits = growing.step({std::span(tokens).subspan(first, 10)});
    b.insert(b.end(), logits.begin(), logits.end());
  }
  EXPECT_EQ(a, b);
}

INSTANTIATE_TEST_SUITE_P(KvBits, Invariance, ::testing::Values(16, 8));

}  // namespace
}  // namespace onnxlocal::ep::testing
