// The distribution of what comes out, with guesses, against the definition of each sampler setting:
// 100,000 draws with fixed seeds, compared by Pearson's chi-square. A run draws four tokens, and
// the cells are all that four tokens can be, so that a token that was drawn wrongly behind an
// accepted or a rejected guess shows.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "engine/drafter.h"
#include "engine/loop.h"
#include "event_recorder.h"
#include "fake_decoder.h"

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;

constexpr std::uint32_t kVocabulary = 4;
constexpr std::uint32_t kTokens = 4;
constexpr std::uint32_t kRuns = 25000;

/// Has every pair of tokens, so that there is always something to guess.
const Tokens kPrompt{0, 0, 1, 0, 2, 0, 3, 1, 1, 2, 1, 3, 2, 2, 3, 3, 0, 1, 2, 3, 0, 2, 1, 3, 1, 0};

/// Penalties and bias, in the definition's order.
void adjust(std::vector<double>& logits, const SamplingOptions& options, const Tokens& tokens) {
  for (TokenId token = 0; token < TokenId{kVocabulary}; ++token) {
    double& logit = logits[static_cast<std::size_t>(token)];
    const auto bias = options.logit_bias.find(token);
    if (bias != options.logit_bias.end()) logit += static_cast<double>(bias->second);
    const auto output = std::span(tokens).subspan(kPrompt.size());
    const auto count = std::ranges::count(output, token);
    const double penalty = options.repetition_penalty;
    if (std::ranges::find(tokens, token) != tokens.end()) {
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
    logit -= static_cast<double>(options.frequency_penalty) * static_cast<double>(count);
    if (count > 0) logit -= static_cast<double>(options.presence_penalty);
  }
}

/// Temperature, then top_k, top_p and min_p.
std::vector<double> probabilities(const std::vector<double>& logits,
                                  const SamplingOptions& options) {
  std::vector<std::size_t> order(logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](auto a, auto b) { return logits[a] > logits[b]; });
  std::vector<double> weights(logits.size(), 0);
  const std::size_t kept =
      options.top_k.value_or(0) == 0 ? order.size() : std::size_t{*options.top_k};
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights[order[i]] = std::exp((logits[order[i]] - logits[order[0]]) /
                                 static_cast<double>(options.temperature.value_or(1)));
    total += weights[order[i]];
  }
  double sum = 0;
  double left = 0;
  for (const std::size_t i : order) {
    const double weight = weights[i];
    if (sum >= static_cast<double>(options.top_p.value_or(2)) * total) weights[i] = 0;
    if (weight < static_cast<double>(options.min_p)) weights[i] = 0;
    sum += weight;
    left += weights[i];
  }
  for (double& weight : weights) weight /= left;
  return weights;
}

/// The probability of each answer, by its tokens.
void add_answers(const FakeDecoder& model, const SamplingOptions& options, const Tokens& tokens,
                 double probability, std::map<Tokens, double>& answers) {
  if (tokens.size() == kPrompt.size() + kTokens) {
    answers[{tokens.begin() + static_cast<std::ptrdiff_t>(kPrompt.size()), tokens.end()}] =
        probability;
    return;
  }
  const auto raw = model.logits_after(tokens);
  std::vector<double> logits(raw.begin(), raw.end());
  adjust(logits, options, tokens);
  const auto next = probabilities(logits, options);
  for (TokenId token = 0; token < TokenId{kVocabulary}; ++token) {
    const double chance = next[static_cast<std::size_t>(token)];
    if (chance == 0) continue;
    Tokens longer = tokens;
    longer.push_back(token);
    add_answers(model, options, longer, probability * chance, answers);
  }
}

double chi_square_excess(const std::map<Tokens, double>& expected,
                         const std::map<Tokens, int>& counts) {
  double chi_square = 0;
  double rare_mean = 0;
  double rare_count = 0;
  int cells = 0;
  for (const auto& [answer, probability] : expected) {
    const double mean = probability * kRuns;
    const auto found = counts.find(answer);
    const double count = found == counts.end() ? 0 : found->second;
    if (mean < 8) {
      rare_mean += mean;
      rare_count += count;
      continue;
    }
    chi_square += (count - mean) * (count - mean) / mean;
    ++cells;
  }
  if (rare_mean >= 8) {
    chi_square += (rare_count - rare_mean) * (rare_count - rare_mean) / rare_mean;
    ++cells;
  }
  // In standard deviations above the mean of the chi-square distribution.
  const double freedom = std::max(cells - 1, 1);
  return (chi_square - freedom) / std::sqrt(2 * freedom);
}

void expect_distribution(SamplingOptions sampling, bool by_draft_model) {
  const FakeDecoderOptions options{.vocabulary_size = kVocabulary,
                                   .slots = 4,
                                   .slot_tokens_max = 64,
                                   .mixing = StepMixing::kRagged};
  auto decoder = std::make_unique<FakeDecoder>(options);
  const FakeDecoder& model = *decoder;
  std::unique_ptr<Drafter> drafter = make_prompt_lookup(options.slots);
  if (by_draft_model) {
    // Of the same mind half of the time.
    FakeDecoderOptions other = options;
    other.scripted_next = [](std::span<const TokenId> prefix) -> std::optional<TokenId> {
      if (prefix.back() < 2) return std::nullopt;
      return 3 - prefix.back();
    };
    drafter = make_draft_model(std::make_unique<FakeDecoder>(other), model.limits()).value();
  }
  EngineOptions engine{.prefix_cache_bytes_max = 0};
  engine.speculation.measure_costs = false;
  EngineLoop loop(std::move(decoder), nullptr, engine, std::move(drafter));
  std::map<Tokens, int> counts;
  for (std::uint32_t run = 0; run < kRuns; run += options.slots) {
    std::vector<EventRecorder> recorders(options.slots);
    for (std::uint32_t i = 0; i < options.slots; ++i) {
      sampling.seed = run + i;
      ASSERT_TRUE(loop.submit({.prompt = kPrompt, .sampling = sampling, .tokens_max = kTokens},
                              recorders[i].sink()));
    }
    while (loop.run_one_step()) {
    }
    for (const EventRecorder& recorder : recorders) ++counts[recorder.now().tokens];
  }
  std::map<Tokens, double> expected;
  add_answers(model, sampling, kPrompt, 1, expected);
  for (const auto& [answer, count] : counts) {
    EXPECT_TRUE(expected.contains(answer)) << "an answer that cannot be came " << count << " times";
  }
  EXPECT_LT(chi_square_excess(expected, counts), 4);
  const EngineStatus status = loop.status();
  EXPECT_GT(status.accepted_tokens, kRuns / 20);
  EXPECT_LT(status.accepted_tokens, status.draft_tokens);
}

class SpeculationDistribution : public testing::TestWithParam<bool> {};

TEST_P(SpeculationDistribution, IsTheModelsOwn) { expect_distribution({}, GetParam()); }
TEST_P(SpeculationDistribution, HoldsWithTopKAndTemperature) {
  expect_distribution({.temperature = 1.7F, .top_k = 3}, GetParam());
}
TEST_P(SpeculationDistribution, HoldsWithTheNucleusAndMinP) {
  expect_distribution({.temperature = 1.4F, .top_p = 0.9F, .min_p = 0.05F}, GetParam());
}
TEST_P(SpeculationDistribution, HoldsWithPenaltiesAndBias) {
  expect_distribution({.temperature = 1.5F,
                       .repetition_penalty = 1.2F,
                       .frequency_penalty = 0.6F,
                       .presence_penalty = 0.3F,
                       .logit_bias = {{1, 1.5F}}},
                      GetParam());
}

INSTANTIATE_TEST_SUITE_P(ByDrafter, SpeculationDistribution, testing::Bool(),
                         [](const auto& drafter) -> std::string {
                           return drafter.param ? "DraftModel" : "PromptLookup";
                         });

}  // namespace
}  // namespace onnxlocal
