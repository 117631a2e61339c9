#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "engine/limits.h"

namespace onnxlocal {
namespace {

/// Weights are summed by blocks: eight float lanes inside one, doubles across them.
constexpr std::size_t kBlock = 512;

/// A tiny repetition penalty must not make a logit infinite.
constexpr float kLogitMax = 1e30F;

/// Above this many a heap no longer beats a selection over the whole vocabulary.
constexpr std::size_t kHeapMax = 1024;

bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
}

/// e^x for x <= 0, relative error below 2e-7 (the polynomial of Cephes' expf); 0 below -87, where
/// a token has less than 1e-37 of the best one's weight. Branch-free, so that loops vectorize.
inline float exp_of_nonpositive(float x) {
  const float clamped = std::max(x, -87.0F);
  // Adding and subtracting 1.5 * 2^23 rounds to a whole number.
  const float whole = (clamped * 1.44269504F + 12582912.0F) - 12582912.0F;
  const float r = clamped - whole * 0.693359375F + whole * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float e = p * r * r + r + 1.0F;
  const auto exponent = static_cast<std::int32_t>(whole) << 23;
  const float result = std::bit_cast<float>(std::bit_cast<std::int32_t>(e) + exponent);
  return x >= -87.0F ? result : 0.0F;
}

/// weights[i] = exp((logits[i] - best) * scale); returns their sum, and each block's in `sums`.
double exponentiate(std::span<const float> logits, float best, float scale,
                    std::vector<float>& weights, std::vector<double>& sums) {
  weights.resize(logits.size());
  sums.clear();
  double total = 0;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t size = std::min(kBlock, logits.size() - begin);
    const float* in = logits.data() + begin;
    float* out = weights.data() + begin;
    for (std::size_t i = 0; i < size; ++i) out[i] = exp_of_nonpositive((in[i] - best) * scale);
    std::array<float, 8> lanes{};
    std::size_t i = 0;
    for (; i + lanes.size() <= size; i += lanes.size()) {
      for (std::size_t lane = 0; lane < lanes.size(); ++lane) lanes[lane] += out[i + lane];
    }
    double sum = 0;
    for (; i < size; ++i) sum += out[i];
    for (const float lane : lanes) sum += lane;
    sums.push_back(sum);
    total += sum;
  }
  return total;
}

/// The largest logit; empty where one is NaN or +infinity, or none is finite.
std::optional<float> best_logit(std::span<const float> logits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::array<float, 8> best;
  best.fill(-kInfinity);
  std::array<std::int32_t, 8> bad{};
  std::size_t i = 0;
  for (; i + best.size() <= logits.size(); i += best.size()) {
    for (std::size_t lane = 0; lane < best.size(); ++lane) {
      const float x = logits[i + lane];
      best[lane] = x > best[lane] ? x : best[lane];
      bad[lane] |= x < kInfinity ? 0 : 1;
    }
  }
  for (; i < logits.size(); ++i) {
    best[0] = std::max(best[0], logits[i]);
    bad[0] |= logits[i] < kInfinity ? 0 : 1;
  }
  if (std::ranges::any_of(bad, [](std::int32_t flag) { return flag != 0; })) return std::nullopt;
  const float result = *std::ranges::max_element(best);
  if (result == -kInfinity) return std::nullopt;
  return result;
}

Result<float> best_of(std::span<const float> logits) {
  if (const auto best = best_logit(logits)) return *best;
  return std::unexpected(internal_error("the model's logits are not numbers (NaN or infinity)",
                                        "check the model with `onnx-local doctor`"));
}

/// In [0, 1): a hash (splitmix64, Steele et al. 2014) of seed and position.
double uniform(std::uint64_t seed, std::uint64_t position) {
  const auto mix = [](std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
  };
  return static_cast<double>(mix(mix(seed) ^ mix(~position)) >> 11) * 0x1p-53;
}

/// The token at `share` of the weights' sum, in the order of ids.
TokenId at_share(const SamplerScratch& scratch, double total, double share) {
  double left = share * total;
  std::size_t begin = 0;
  for (const double sum : scratch.block_sums) {
    if (left < sum) break;
    left -= sum;
    begin += kBlock;
  }
  for (std::size_t i = begin; i < scratch.weights.size(); ++i) {
    left -= scratch.weights[i];
    if (left < 0) return static_cast<TokenId>(i);
  }
  // Rounding: the sum said more than its members. The last one stands for the rest.
  const auto last = std::ranges::find_if(scratch.weights.rbegin(), scratch.weights.rend(),
                                         [](float weight) { return weight > 0; });
  return static_cast<TokenId>(scratch.weights.rend() - last - 1);
}

TokenId at_share(std::span<const Candidate> candidates, double share) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  double left = share * total;
  for (const Candidate& candidate : candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate.token;
  }
  return candidates.back().token;
}

void collect_from(std::span<const float> weights, float least, std::vector<Candidate>& out) {
  out.clear();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] >= least && weights[i] > 0) {
      out.push_back({.weight = weights[i], .token = static_cast<TokenId>(i)});
    }
  }
}

/// Collects all of the nucleus, and not much more.
void collect_nucleus(SamplerScratch& scratch, double top_p, double total) {
  // Mostly the nucleus is a few tokens. It is among those collected if they weigh enough.
  constexpr float kLight = 1e-3F;
  collect_from(scratch.weights, kLight, scratch.candidates);
  double sum = 0;
  for (const Candidate& candidate : scratch.candidates) sum += candidate.weight;
  if (sum >= top_p * total) return;
  // Otherwise: all tokens lighter than (1 - top_p) * total / n together weigh less than what top_p
  // may drop, so they are never in it. A bit less, for rounding.
  const double least = (1.0 - top_p) * total / static_cast<double>(scratch.weights.size());
  collect_from(scratch.weights, static_cast<float>(least * 0.999), scratch.candidates);
}

double log_sum_exp(std::span<const float> logits, float best, SamplerScratch& scratch) {
  return best + std::log(exponentiate(logits, best, 1.0F, scratch.weights, scratch.block_sums));
}

/// A token beyond the mask's end is not allowed.
void forbid_others(std::span<const std::uint32_t> mask, std::span<float> logits) {
  constexpr std::size_t kBits = 32;
  constexpr std::uint32_t kAll = ~0U;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBits) {
    const std::size_t word = begin / kBits;
    const std::uint32_t allowed = word < mask.size() ? mask[word] : 0;
    if (allowed == kAll) continue;
    const std::size_t size = std::min(kBits, logits.size() - begin);
    for (std::size_t bit = 0; bit < size; ++bit) {
      if ((allowed >> bit) % 2 == 0) logits[begin + bit] = -std::numeric_limits<float>::infinity();
    }
  }
}

Result<void> check_range(std::string_view field, float value, float low, float high) {
  if (value >= low && value <= high) return {};
  return std::unexpected(invalid_request(
      fmt::format("{}: expected a number from {} to {}, found {}", field, low, high, value)));
}

}  // namespace

Result<void> validate_sampling(const SamplingOptions& options, std::uint32_t vocabulary_size) {
  constexpr float kTiny = std::numeric_limits<float>::min();
  constexpr float kHuge = std::numeric_limits<float>::max();
  TRY_VOID(check_range("temperature", options.temperature.value_or(1), 0, 2));
  TRY_VOID(check_range("top_p", options.top_p.value_or(1), kTiny, 1));
  TRY_VOID(check_range("min_p", options.min_p, 0, 1));
  TRY_VOID(check_range("repetition_penalty", options.repetition_penalty, kTiny, kHuge));
  TRY_VOID(check_range("frequency_penalty", options.frequency_penalty, -2, 2));
  TRY_VOID(check_range("presence_penalty", options.presence_penalty, -2, 2));
  if (options.logprobs && *options.logprobs > kLogprobsMax) {
    return std::unexpected(invalid_request(fmt::format(
        "logprobs: expected at most {} alternatives, found {}", kLogprobsMax, *options.logprobs)));
  }
  for (const auto& [token, bias] : options.logit_bias) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocabulary_size) {
      return std::unexpected(invalid_request(fmt::format(
          "logit_bias: token {} is not one of the model's {}", token, vocabulary_size)));
    }
    TRY_VOID(check_range("logit_bias", bias, -100, 100));
  }
  return {};
}

void select_top(std::span<const float> values, std::size_t count, std::vector<Candidate>& top) {
  top.clear();
  count = std::min(count, values.size());
  if (count == 0) return;
  const auto candidate = [&](std::size_t i) {
    return Candidate{.weight = values[i], .token = static_cast<TokenId>(i)};
  };
  if (count > kHeapMax) {
    for (std::size_t i = 0; i < values.size(); ++i) top.push_back(candidate(i));
    const auto edge = top.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(top.begin(), edge - 1, top.end(), ranks_before);
    top.erase(edge, top.end());
    std::ranges::sort(top, ranks_before);
    return;
  }
  for (std::size_t i = 0; i < count; ++i) top.push_back(candidate(i));
  // A heap whose front ranks last. Later ids lose ties, so `>` is enough.
  std::ranges::make_heap(top, ranks_before);
  for (std::size_t i = count; i < values.size(); ++i) {
    if (!(values[i] > top.front().weight)) continue;
    std::ranges::pop_heap(top, ranks_before);
    top.back() = candidate(i);
    std::ranges::push_heap(top, ranks_before);
  }
  std::ranges::sort_heap(top, ranks_before);
}

Candidate nucleus_edge(std::span<Candidate> candidates, double mass) {
  Candidate edge = candidates.front();
  while (!candidates.empty()) {
    const std::size_t middle = candidates.size() / 2;
    std::array<Candidate, 3> three{candidates.front(), candidates[middle], candidates.back()};
    std::ranges::sort(three, ranks_before);
    edge = three[1];
    const auto better = std::ranges::partition(
        candidates, [&](const Candidate& c) { return ranks_before(c, edge); });
    const auto before = candidates.first(candidates.size() - better.size());
    double sum = 0;
    for (const Candidate& c : before) sum += c.weight;
    if (sum >= mass && !before.empty()) {
      candidates = before;
      continue;
    }
    mass -= sum + edge.weight;
    if (mass <= 0) return edge;
    const auto rest = candidates.subspan(before.size());
    std::iter_swap(rest.begin(), std::ranges::find(rest, edge));
    candidates = rest.subspan(1);
  }
  return edge;  // All of them: rounding left a bit of `mass`.
}

Sampler::Sampler(const SamplingOptions& options, std::uint64_t seed,
                 std::span<const TokenId> prompt)
    : options_(options), seed_(options.seed.value_or(seed)) {
  if (options_.repetition_penalty != 1.0F) {
    for (const TokenId token : prompt) past_[token].in_prompt = true;
  }
}

bool Sampler::has_penalties() const {
  return options_.repetition_penalty != 1.0F || options_.frequency_penalty != 0.0F ||
         options_.presence_penalty != 0.0F;
}

void Sampler::adjust(std::span<float> logits) const {
  for (const auto& [token, bias] : options_.logit_bias) {
    logits[static_cast<std::size_t>(token)] += bias;
  }
  for (const auto& [token, past] : past_) {
    if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) continue;
    float& logit = logits[static_cast<std::size_t>(token)];
    const float penalty = options_.repetition_penalty;
    logit = logit > 0 ? std::min(logit / penalty, kLogitMax) : logit * penalty;
    if (past.in_output == 0) continue;
    logit -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(past.in_output);
  }
}

TokenId Sampler::draw(std::span<const float> logits, float best, double share,
                      SamplerScratch& scratch) const {
  // Bounded, because 0 times infinity is not a number.
  const float scale = std::min(1.0F / options_.temperature.value_or(1), 1e30F);
  const std::uint32_t top_k = options_.top_k.value_or(0);
  const float top_p = options_.top_p.value_or(1);
  const bool has_top_k = top_k > 0 && top_k < logits.size();
  const bool has_top_p = top_p < 1.0F;
  double total = 0;
  if (has_top_k) {
    select_top(logits, top_k, scratch.candidates);
    for (Candidate& c : scratch.candidates) {
      c.weight = exp_of_nonpositive((c.weight - best) * scale);
      total += c.weight;
    }
  } else {
    total = exponentiate(logits, best, scale, scratch.weights, scratch.block_sums);
    if (!has_top_p && options_.min_p <= 0.0F) return at_share(scratch, total, share);
    if (has_top_p) {
      collect_nucleus(scratch, static_cast<double>(top_p), total);
    } else {
      collect_from(scratch.weights, options_.min_p, scratch.candidates);
    }
  }
  if (has_top_p) {
    scratch.selection = scratch.candidates;
    const Candidate edge = nucleus_edge(scratch.selection, static_cast<double>(top_p) * total);
    std::erase_if(scratch.candidates, [&](const Candidate& c) { return ranks_before(edge, c); });
  }
  // The best one's weight is 1; one without weight cannot come.
  std::erase_if(scratch.candidates,
                [&](const Candidate& c) { return c.weight < options_.min_p || c.weight <= 0; });
  return at_share(scratch.candidates, share);
}

Result<TokenId> Sampler::pick(std::span<const float> logits, float own_best, std::uint64_t position,
                              SamplerScratch& scratch, std::span<const std::uint32_t> mask) const {
  std::span<const float> adjusted = logits;
  float best = own_best;
  if (adjusts_logits() || !mask.empty()) {
    scratch.adjusted.assign(logits.begin(), logits.end());
    adjust(scratch.adjusted);
    if (!mask.empty()) forbid_others(mask, scratch.adjusted);
    adjusted = scratch.adjusted;
    const auto adjusted_best = best_logit(adjusted);
    if (!adjusted_best) {
      return std::unexpected(internal_error(mask.empty()
                                                ? "the penalties leave no token that could come"
                                                : "the constraint allows no token"));
    }
    best = *adjusted_best;
  }
  if (options_.temperature.value_or(1) > 0) {
    return draw(adjusted, best, uniform(seed_, position), scratch);
  }
  return static_cast<TokenId>(std::ranges::find(adjusted, best) - adjusted.begin());
}

Result<TokenId> Sampler::guess(std::span<const float> logits, std::uint64_t ahead,
                               SamplerScratch& scratch) const {
  TRY(const float best, best_of(logits));
  return pick(logits, best, chosen_ + ahead, scratch, {});
}

Result<TokenReport> Sampler::choose(std::span<const float> logits, SamplerScratch& scratch,
                                    std::span<const std::uint32_t> mask) {
  TRY(const float best, best_of(logits));
  TokenReport report;
  TRY(report.chosen.token, pick(logits, best, chosen_, scratch, mask));
  if (options_.logprobs) {
    const double norm = log_sum_exp(logits, best, scratch);
    const auto logprob = [&](float logit) { return static_cast<float>(logit - norm); };
    report.chosen.logprob = logprob(logits[static_cast<std::size_t>(report.chosen.token)]);
    select_top(logits, *options_.logprobs, scratch.candidates);
    for (const Candidate& c : scratch.candidates) {
      report.alternatives.push_back({.token = c.token, .logprob = logprob(c.weight)});
    }
  }
  ++chosen_;
  if (has_penalties()) ++past_[report.chosen.token].in_output;
  return report;
}

}  // namespace onnxlocal
