// Distribution tests draw many tokens with fixed seeds and compare counts with what the definition
// says (in double precision, by a full sort), by Pearson's chi-square at a level that a right
// sampler passes with these seeds.
#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

std::vector<float> random_logits(std::size_t size, unsigned seed, float spread = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

/// The definition: probabilities after temperature, top_k, top_p, min_p.
std::vector<double> reference(const std::vector<float>& logits, const SamplingOptions& options) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](auto a, auto b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  std::vector<double> weights(logits.size(), 0);
  const double best = logits[order[0]];
  std::size_t kept = options.top_k.value_or(0) == 0
                         ? order.size()
                         : std::min<std::size_t>(*options.top_k, order.size());
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights[order[i]] =
        std::exp((logits[order[i]] - best) / static_cast<double>(options.temperature.value_or(1)));
    total += weights[order[i]];
  }
  double sum = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    if (sum >= static_cast<double>(options.top_p.value_or(2)) * total) weights[order[i]] = 0;
    sum += weights[order[i]];
  }
  total = 0;
  for (double& weight : weights) {
    if (weight < static_cast<double>(options.min_p)) weight = 0;
    total += weight;
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

std::vector<int> draw_many(const std::vector<float>& logits, SamplingOptions options, int draws) {
  options.seed = options.seed.value_or(1);
  Sampler sampler(options, 0, {});
  SamplerScratch scratch;
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < draws; ++i) {
    const auto report = sampler.choose(logits, scratch);
    EXPECT_TRUE(report.has_value());
    ++counts.at(static_cast<std::size_t>(report->chosen.token));
  }
  return counts;
}

void expect_distribution(const std::vector<float>& logits, const SamplingOptions& options) {
  constexpr int kDraws = 6000;
  const auto expected = reference(logits, options);
  const auto counts = draw_many(logits, options, kDraws);
  double chi_square = 0;
  double rest_expected = 0;
  int rest_count = 0;
  int cells = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is cut off";
      continue;
    }
    const double mean = expected[i] * kDraws;
    if (mean < 8) {  // Too few for the test: pooled.
      rest_expected += mean;
      rest_count += counts[i];
      continue;
    }
    chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++cells;
  }
  if (rest_expected >= 8) {
    chi_square += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
    ++cells;
  }
  // Mean and four standard deviations of the chi-square distribution.
  const double freedom = std::max(cells - 1, 1);
  EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2 * freedom) + 4) << cells << " cells";
}

TEST(Sampler, TakesTheMostLikelyTokenAtTemperatureZero) {
  Sampler sampler({.temperature = 0}, 1, {});
  SamplerScratch scratch;
  EXPECT_EQ(sampler.choose(std::vector<float>{1, 3, 2}, scratch)->chosen.token, 1);
}

/// Every third token of 100, and a mask that ends before the vocabulary does.
std::vector<std::uint32_t> mask_of_thirds() {
  std::vector<std::uint32_t> mask(3, 0);
  for (std::uint32_t token = 0; token < 96; token += 3) mask[token / 32] |= 1U << (token % 32);
  return mask;
}

TEST(Sampler, TakesWhatItWouldTakeIfForbiddenTokensWereImpossible) {
  const auto logits = random_logits(100, 8);
  auto possible = logits;
  for (std::size_t token = 0; token < 100; ++token) {
    if (token % 3 != 0 || token >= 96) {
      possible[token] = -std::numeric_limits<float>::infinity();
    }
  }
  const std::vector<SamplingOptions> variants{
      {.temperature = 0},
      {.temperature = 1},
      {.temperature = 2, .top_k = 60},
      {.top_p = 0.9F},
      {.min_p = 0.01F},
      {.temperature = 1.5F, .top_k = 40, .top_p = 0.95F, .frequency_penalty = 1},
      {.repetition_penalty = 1.3F, .logit_bias = {{1, 100.0F}, {3, 5.0F}}}};
  for (const SamplingOptions& options : variants) {
    Sampler masked(options, 5, {});
    Sampler plain(options, 5, {});
    SamplerScratch scratch;
    for (int i = 0; i < 200; ++i) {
      const auto token = masked.choose(logits, scratch, mask_of_thirds())->chosen.token;
      ASSERT_EQ(token, plain.choose(possible, scratch)->chosen.token);
      ASSERT_TRUE(token % 3 == 0 && token < 96) << token;
    }
  }
}

TEST(Sampler, SaysWhenTheMaskLeavesNothing) {
  SamplerScratch scratch;
  const std::vector<std::uint32_t> none(4, 0);
  const auto report = Sampler({}, 1, {}).choose(random_logits(100, 8), scratch, none);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kInternal);
  EXPECT_EQ(report.error().message, "the constraint allows no token");
}

TEST(Sampler, TakesTheLowestIdOnATie) {
  Sampler greedy({.temperature = 0}, 1, {});
  Sampler first_of_one({.top_k = 1}, 1, {});
  SamplerScratch scratch;
  const std::vector<float> logits{1, 3, 3, 3};
  EXPECT_EQ(greedy.choose(logits, scratch)->chosen.token, 1);
  EXPECT_EQ(first_of_one.choose(logits, scratch)->chosen.token, 1);
}

TEST(Sampler, DrawsFromTheModelsDistribution) {
  expect_distribution(random_logits(40, 1), {});
  expect_distribution(random_logits(3000, 2), {});
}
TEST(Sampler, DrawsWithTemperature) {
  expect_distribution(random_logits(40, 3), {.temperature = 0.5F});
  expect_distribution(random_logits(40, 4), {.temperature = 2.0F});
}
TEST(Sampler, DrawsFromTheTopK) {
  expect_distribution(random_logits(500, 5), {.top_k = 7});
  expect_distribution(random_logits(4000, 5, 0.5F), {.top_k = 1500});
}
TEST(Sampler, DrawsFromTheNucleus) {
  expect_distribution(random_logits(500, 6), {.top_p = 0.9F});
  expect_distribution(random_logits(500, 7, 0.1F), {.top_p = 0.5F});
  expect_distribution(random_logits(500, 7), {.top_p = 1e-6F});
}
TEST(Sampler, DrawsAboveMinP) { expect_distribution(random_logits(500, 8), {.min_p = 0.05F}); }
TEST(Sampler, DrawsWithAllCutsTogether) {
  expect_distribution(random_logits(500, 9),
                      {.temperature = 1.3F, .top_k = 40, .top_p = 0.95F, .min_p = 0.02F});
}

TEST(Sampler, GivesTheSameTokensForTheSameSeed) {
  const auto logits = random_logits(300, 10);
  EXPECT_EQ(draw_many(logits, {.seed = 5}, 200), draw_many(logits, {.seed = 5}, 200));
  EXPECT_NE(draw_many(logits, {.seed = 5}, 200), draw_many(logits, {.seed = 6}, 200));
}

TEST(Sampler, DrawsByPositionAndNotByWhatOthersDraw) {
  const auto logits = random_logits(300, 11);
  SamplerScratch scratch;
  Sampler alone({.seed = 5}, 0, {});
  Sampler among({.seed = 5}, 0, {});
  Sampler other({.top_p = 0.5F, .seed = 9}, 0, {});
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(other.choose(logits, scratch));
    ASSERT_EQ(alone.choose(logits, scratch)->chosen, among.choose(logits, scratch)->chosen);
  }
}

TEST(Sampler, AppliesTheBias) {
  Sampler sampler({.temperature = 0, .logit_bias = {{2, 10.0F}, {0, -100.0F}}}, 1, {});
  SamplerScratch scratch;
  EXPECT_EQ(sampler.choose(std::vector<float>{5, 4, 1}, scratch)->chosen.token, 2);
}

TEST(Sampler, PenalizesRepetitionOverPromptAndOutput) {
  const std::vector<TokenId> prompt{0};
  Sampler sampler({.temperature = 0, .repetition_penalty = 2.0F}, 1, prompt);
  SamplerScratch scratch;
  const std::vector<float> logits{5, 4, 3};
  EXPECT_EQ(sampler.choose(logits, scratch)->chosen.token, 1);  // 2.5, 4, 3
  EXPECT_EQ(sampler.choose(logits, scratch)->chosen.token, 2);  // 2.5, 2, 3
  EXPECT_EQ(sampler.choose(std::vector<float>{-5, -4, -7}, scratch)->chosen.token, 1);
}

TEST(Sampler, PenalizesPresenceOnceAndFrequencyEachTime) {
  SamplerScratch scratch;
  const std::vector<float> logits{5.0F, 4.0F};
  const auto tokens = [&](const SamplingOptions& options) {
    Sampler sampler(options, 1, std::vector<TokenId>{0, 0, 0});
    std::vector<TokenId> chosen;
    for (int i = 0; i < 4; ++i) chosen.push_back(sampler.choose(logits, scratch)->chosen.token);
    return chosen;
  };
  EXPECT_EQ(tokens({.temperature = 0, .presence_penalty = 1.5F}),
            (std::vector<TokenId>{0, 1, 0, 0}));
  EXPECT_EQ(tokens({.temperature = 0, .frequency_penalty = 0.6F}),
            (std::vector<TokenId>{0, 0, 1, 0}));
}

TEST(Sampler, ReportsLogProbabilitiesOfTheModelsOwnDistribution) {
  Sampler sampler({.temperature = 0, .logit_bias = {{0, 100.0F}}, .logprobs = 2}, 1, {});
  SamplerScratch scratch;
  const std::vector<float> logits{0.0F, std::log(2.0F), std::log(5.0F)};
  const auto report = sampler.choose(logits, scratch);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->chosen.token, 0);
  EXPECT_NEAR(report->chosen.logprob, std::log(1.0 / 8), 1e-5);
  ASSERT_EQ(report->alternatives.size(), 2U);
  EXPECT_EQ(report->alternatives[0].token, 2);
  EXPECT_NEAR(report->alternatives[0].logprob, std::log(5.0 / 8), 1e-5);
  EXPECT_EQ(report->alternatives[1].token, 1);
}

TEST(Sampler, RefusesLogitsThatAreNotNumbers) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  SamplerScratch scratch;
  for (const float bad : {kNan, kInfinity}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{9}, std::size_t{16}}) {
      auto logits = random_logits(17, 12);
      logits[at] = bad;
      Sampler sampler({}, 1, {});
      const auto report = sampler.choose(logits, scratch);
      ASSERT_FALSE(report);
      EXPECT_EQ(report.error().code, ErrorCode::kInternal);
    }
  }
  Sampler sampler({}, 1, {});
  EXPECT_FALSE(sampler.choose(std::vector<float>(20, -kInfinity), scratch));
}

TEST(Sampler, NeverDrawsAMaskedToken) {
  auto logits = random_logits(50, 13);
  for (std::size_t i = 0; i < 45; ++i) logits[i] = -std::numeric_limits<float>::infinity();
  const auto counts = draw_many(logits, {.temperature = 2.0F}, 2000);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.begin() + 45, 0), 0);
}

TEST(Sampler, SurvivesExtremeOptions) {
  const auto logits = random_logits(600, 14, 50.0F);
  for (const float temperature : {1e-40F, 1e-6F, 2.0F}) {
    for (const float top_p : {1e-30F, 0.999999F}) {
      for (const float penalty : {1e-30F, 1e30F}) {
        Sampler sampler({.temperature = temperature, .top_p = top_p, .repetition_penalty = penalty},
                        1, std::vector<TokenId>{1, 2, 3});
        SamplerScratch scratch;
        for (int i = 0; i < 5; ++i) EXPECT_TRUE(sampler.choose(logits, scratch));
      }
    }
  }
}

TEST(NucleusEdge, IsWhereASortWouldPutIt) {
  std::mt19937 random(15);
  for (int round = 0; round < 500; ++round) {
    std::vector<Candidate> candidates(1 + random() % 40);
    double total = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      candidates[i] = {.weight = static_cast<float>(1 + random() % 8),
                       .token = static_cast<TokenId>(i)};
      total += candidates[i].weight;
    }
    auto sorted = candidates;
    std::ranges::sort(sorted, [](const Candidate& a, const Candidate& b) {
      return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
    });
    const double mass = total * static_cast<double>(1 + random() % 100) / 100;
    double sum = 0;
    std::size_t edge = 0;
    while (edge < sorted.size() && (sum += sorted[edge].weight) < mass) ++edge;
    ASSERT_EQ(nucleus_edge(candidates, mass), sorted[std::min(edge, sorted.size() - 1)]);
  }
}

TEST(ValidateSampling, NamesTheFieldThatIsOutOfRange) {
  const auto message = [](const SamplingOptions& options) {
    const auto result = validate_sampling(options, 100);
    return result ? std::string("fine") : result.error().message;
  };
  EXPECT_EQ(message({}), "fine");
  EXPECT_TRUE(message({.temperature = 2.1F}).starts_with("temperature:"));
  EXPECT_TRUE(message({.temperature = NAN}).starts_with("temperature:"));
  EXPECT_TRUE(message({.top_p = 0.0F}).starts_with("top_p:"));
  EXPECT_TRUE(message({.min_p = -0.1F}).starts_with("min_p:"));
  EXPECT_TRUE(message({.repetition_penalty = 0.0F}).starts_with("repetition_penalty:"));
  EXPECT_TRUE(message({.frequency_penalty = 3.0F}).starts_with("frequency_penalty:"));
  EXPECT_TRUE(message({.presence_penalty = -3.0F}).starts_with("presence_penalty:"));
  EXPECT_TRUE(message({.logit_bias = {{100, 1.0F}}}).starts_with("logit_bias:"));
  EXPECT_TRUE(message({.logit_bias = {{1, 101.0F}}}).starts_with("logit_bias:"));
  EXPECT_TRUE(message({.logprobs = 21}).starts_with("logprobs:"));
}

}  // namespace
}  // namespace onnxlocal
