// Speed of the decoder alone, without engine or tokenizer: decoder_bench MODEL_FOLDER CACHE_FOLDER.
// Prints one line per measurement; the best of several rounds, for the machine is shared.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/environment.h"
#include "runtime/model_session.h"

namespace onnxlocal {
namespace {

constexpr int kRounds = 3;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<TokenId> some_tokens(std::size_t count, const DecoderLimits& limits) {
  std::vector<TokenId> tokens(count);
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<TokenId>((i * 7919 + 11) % limits.vocabulary_size);
  }
  return tokens;
}

TokenId best_token(std::span<const float> row) {
  return static_cast<TokenId>(std::ranges::max_element(row) - row.begin());
}

void check(const Result<Logits>& logits) {
  if (logits) return;
  fmt::print(stderr, "{}\n", describe(logits.error()));
  std::exit(1);
}

/// Prefills a slot in chunks of the decoder's limit.
double prefill(Decoder& decoder, SlotId slot, std::size_t count) {
  const std::vector<TokenId> tokens = some_tokens(count, decoder.limits());
  const auto start = std::chrono::steady_clock::now();
  const std::size_t chunk = decoder.limits().chunk_tokens_max;
  for (std::size_t i = 0; i < count; i += chunk) {
    const Step step{.slot = slot,
                    .tokens = std::span(tokens).subspan(i, std::min(chunk, count - i)),
                    .logits = LogitsWanted::kLast};
    check(decoder.forward({&step, 1}));
  }
  return seconds_since(start);
}

double decode(Decoder& decoder, std::uint32_t batch, int count) {
  std::vector<TokenId> next(batch, 5);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    std::vector<Step> steps;
    for (std::uint32_t slot = 0; slot < batch; ++slot) {
      steps.push_back({.slot = SlotId{slot}, .tokens = {&next[slot], 1}});
    }
    const auto logits = decoder.forward(steps);
    check(logits);
    for (std::uint32_t slot = 0; slot < batch; ++slot) next[slot] = best_token(logits->row(slot));
  }
  return seconds_since(start);
}

void clear(Decoder& decoder) {
  for (std::uint32_t slot = 0; slot < decoder.limits().slots; ++slot) {
    decoder.truncate(SlotId{slot}, 0);
  }
}

void bench_decode(Decoder& decoder, std::uint32_t batch, std::size_t depth) {
  constexpr int kSteps = 64;
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (std::uint32_t slot = 0; slot < batch && depth > 0; ++slot) {
      prefill(decoder, SlotId{slot}, depth);
    }
    best = std::max(best, kSteps * batch / decode(decoder, batch, kSteps));
    clear(decoder);
  }
  fmt::print("decode batch {} at {}: {:.1f} tok/s\n", batch, depth, best);
}

void bench_prefill(Decoder& decoder, std::size_t count) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    best = std::min(best, prefill(decoder, SlotId{0}, count));
    clear(decoder);
  }
  fmt::print("prefill {}: {:.1f} tok/s, {:.1f} ms\n", count, static_cast<double>(count) / best,
             1000 * best);
}

int run(const char* model, const char* cache) {
  const auto start = std::chrono::steady_clock::now();
  const auto folder = read_model_folder(model);
  if (!folder) {
    fmt::print(stderr, "{}\n", describe(folder.error()));
    return 1;
  }
  RuntimeOptions options;
  options.cache_folder = cache;
  auto loaded = load_decoder(*folder, options);
  if (!loaded) {
    fmt::print(stderr, "{}\n", describe(loaded.error()));
    return 1;
  }
  Decoder& decoder = *loaded->decoder;
  fmt::print("load: {:.0f} ms, resident {} MiB, {}\n", 1000 * seconds_since(start),
             resident_memory_bytes() >> 20, decoder.layout().layout_id);
  bench_prefill(decoder, 16);
  bench_prefill(decoder, 512);
  bench_decode(decoder, 1, 0);
  bench_decode(decoder, 1, 512);
  bench_decode(decoder, 8, 16);
  fmt::print("resident after all: {} MiB\n", resident_memory_bytes() >> 20);
  return 0;
}

}  // namespace
}  // namespace onnxlocal

int main(int argc, char** argv) {
  if (argc == 3) return onnxlocal::run(argv[1], argv[2]);
  fmt::print(stderr, "usage: decoder_bench MODEL_FOLDER CACHE_FOLDER\n");
  return 2;
}
