#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/sampler.h"

namespace onnxlocal {
namespace {

/// Logits with a peak, as a language model's are: a few tokens take most of the weight.
std::vector<float> peaked_logits(std::size_t size) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 2.5F);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  for (std::size_t i = 0; i < 30; ++i) {
    logits[random() % size] = 16.0F - 0.3F * static_cast<float>(i);
  }
  return logits;
}

void choose(benchmark::State& state, const SamplingOptions& options) {
  const auto logits = peaked_logits(static_cast<std::size_t>(state.range(0)));
  Sampler sampler(options, 1, {});
  SamplerScratch scratch;
  for (auto _ : state) benchmark::DoNotOptimize(sampler.choose(logits, scratch));
}

BENCHMARK_CAPTURE(choose, greedy, SamplingOptions{.temperature = 0})->Arg(49152)->Arg(151936);
BENCHMARK_CAPTURE(choose, plain, SamplingOptions{})->Arg(49152)->Arg(151936);
BENCHMARK_CAPTURE(choose, top_k, SamplingOptions{.top_k = 40})->Arg(49152)->Arg(151936);
BENCHMARK_CAPTURE(choose, top_p, SamplingOptions{.top_p = 0.95F})->Arg(49152)->Arg(151936);
BENCHMARK_CAPTURE(choose, min_p, SamplingOptions{.min_p = 0.05F})->Arg(49152)->Arg(151936);
BENCHMARK_CAPTURE(choose, logprobs, SamplingOptions{.temperature = 0, .logprobs = 20})
    ->Arg(49152)
    ->Arg(151936);

}  // namespace
}  // namespace onnxlocal

BENCHMARK_MAIN();
