#include "inspect/measure.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/environment.h"
#include "text/tokenizer.h"

namespace onnxlocal {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFirstTokenPrompt = 16;
/// A first token takes tens of milliseconds: repeating it more often costs nothing.
constexpr std::uint32_t kFirstTokenRepetitionsMin = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

TokenId most_likely(std::span<const float> logits) {
  return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
}

/// Tokens that look like a text's: spread over the vocabulary, the same in every run.
std::vector<TokenId> made_up_tokens(std::size_t count, std::uint32_t vocabulary_size) {
  std::vector<TokenId> tokens(count);
  std::uint64_t state = 0x9E3779B97F4A7C15;
  for (TokenId& token : tokens) {
    state = state * 6364136223846793005 + 1442695040888963407;
    token = static_cast<TokenId>((state >> 33) % vocabulary_size);
  }
  return tokens;
}

/// The measurements over one decoder.
class Bench {
 public:
  Bench(Decoder& decoder, const MeasureOptions& options, std::stop_token stop,
        const ProgressSink& progress)
      : decoder_(decoder), options_(options), stop_(std::move(stop)), progress_(progress) {
    const std::size_t longest =
        std::max<std::size_t>({options.depth_tokens, options.prompt_tokens, kFirstTokenPrompt});
    tokens_ = made_up_tokens(longest, decoder.limits().vocabulary_size);
    const std::uint64_t figures = options.streams > 1 ? 3 : 2;
    steps_total_ = first_token_repetitions() + 1 + figures * options.repetitions + 1;
  }
  ~Bench() { empty_slots(); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  Result<Measurement> run() {
    Measurement measurement;
    TRY_VOID(measure_first_token(measurement));
    TRY_VOID(measure_prefill(measurement));
    TRY_VOID(measure_decode(measurement));
    TRY_VOID(measure_streams(measurement));
    return measurement;
  }

 private:
  std::uint32_t first_token_repetitions() const {
    return std::max(options_.repetitions, kFirstTokenRepetitionsMin);
  }

  void empty_slots() {
    for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
      decoder_.truncate(SlotId{slot}, 0);
    }
  }

  Result<void> step_done() {
    if (stop_.stop_requested()) return std::unexpected(cancelled());
    if (progress_) progress_("measuring", std::min(++steps_done_, steps_total_), steps_total_);
    return {};
  }

  /// Appends `count` tokens to a slot in chunks; the token that follows.
  Result<TokenId> prefill(SlotId slot, std::uint32_t count) {
    const std::uint32_t chunk_max = decoder_.limits().chunk_tokens_max;
    TokenId next = 0;
    for (std::uint32_t at = 0; at < count;) {
      if (stop_.stop_requested()) return std::unexpected(cancelled());
      const std::uint32_t size = std::min(chunk_max, count - at);
      const bool is_last = at + size == count;
      const Step step{slot, std::span(tokens_).subspan(at, size),
                      is_last ? LogitsWanted::kLast : LogitsWanted::kNone};
      TRY(const Logits logits, decoder_.forward({&step, 1}));
      if (is_last) next = most_likely(logits.row(0));
      at += size;
    }
    return next;
  }

  Result<void> measure_first_token(Measurement& measurement) {
    std::vector<double> seconds;
    // The first run warms up.
    for (std::uint32_t i = 0; i < first_token_repetitions() + 1; ++i) {
      decoder_.truncate(SlotId{0}, 0);
      const auto start = Clock::now();
      TRY(const TokenId next, prefill(SlotId{0}, kFirstTokenPrompt));
      static_cast<void>(next);
      if (i > 0) seconds.push_back(seconds_since(start));
      TRY_VOID(step_done());
    }
    measurement.first_token_ms = median(seconds) * 1e3;
    return {};
  }

  Result<void> fill_to_depth(SlotId slot) {
    decoder_.truncate(slot, 0);
    if (options_.depth_tokens == 0) return {};
    TRY(const TokenId next, prefill(slot, options_.depth_tokens));
    static_cast<void>(next);
    return {};
  }

  Result<void> measure_prefill(Measurement& measurement) {
    if (options_.prompt_tokens == 0) return {};
    TRY_VOID(fill_to_depth(SlotId{0}));
    std::vector<double> rates;
    for (std::uint32_t i = 0; i < options_.repetitions; ++i) {
      decoder_.truncate(SlotId{0}, options_.depth_tokens);
      const auto start = Clock::now();
      TRY(const TokenId next, prefill(SlotId{0}, options_.prompt_tokens));
      static_cast<void>(next);
      rates.push_back(options_.prompt_tokens / seconds_since(start));
      TRY_VOID(step_done());
    }
    measurement.prefill_tokens_per_s = median(rates);
    return {};
  }

  Result<void> measure_decode(Measurement& measurement) {
    if (options_.generate_tokens == 0) return {};
    TRY_VOID(fill_to_depth(SlotId{0}));
    for (std::uint32_t slot = 1; slot < options_.streams && options_.depth_tokens > 0; ++slot) {
      decoder_.truncate(SlotId{slot}, 0);
      TRY_VOID(decoder_.copy_prefix(SlotId{0}, SlotId{slot}, options_.depth_tokens));
    }
    std::vector<double> rates;
    // One more than is counted: the first warms up.
    for (std::uint32_t i = 0; i < options_.repetitions + 1; ++i) {
      const auto start = Clock::now();
      TRY_VOID(decode_all());
      const double tokens = double{1} * options_.streams * options_.generate_tokens;
      if (i > 0) rates.push_back(tokens / seconds_since(start));
      TRY_VOID(step_done());
    }
    measurement.decode_tokens_per_s = median(rates);
    return {};
  }

  /// All streams from their prompts to their last tokens, as a server with as many clients.
  Result<void> measure_streams(Measurement& measurement) {
    if (options_.streams < 2 || options_.prompt_tokens == 0) return {};
    std::vector<double> rates;
    for (std::uint32_t i = 0; i < options_.repetitions; ++i) {
      for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
        decoder_.truncate(SlotId{slot}, options_.depth_tokens);
      }
      const auto start = Clock::now();
      TRY_VOID(prefill_all());
      TRY_VOID(decode_steps());
      const double tokens =
          double{1} * options_.streams * (options_.prompt_tokens + options_.generate_tokens);
      rates.push_back(tokens / seconds_since(start));
      TRY_VOID(step_done());
    }
    measurement.total_tokens_per_s = median(rates);
    return {};
  }

  /// Every stream's prompt; together, as far as a step has room, where the decoder mixes them.
  Result<void> prefill_all() {
    const bool is_mixing = decoder_.limits().mixing == StepMixing::kRagged;
    const std::uint32_t each = std::min(options_.prompt_tokens, decoder_.limits().chunk_tokens_max);
    const std::uint32_t together =
        is_mixing ? std::max(decoder_.limits().chunk_tokens_max / each, 1U) : 1;
    if (together == 1 || each < options_.prompt_tokens) {
      for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
        TRY(const TokenId next, prefill(SlotId{slot}, options_.prompt_tokens));
        static_cast<void>(next);
      }
      return {};
    }
    for (std::uint32_t first = 0; first < options_.streams; first += together) {
      std::vector<Step> steps;
      for (std::uint32_t slot = first; slot < std::min(first + together, options_.streams);
           ++slot) {
        steps.push_back({SlotId{slot}, std::span(tokens_).first(each), LogitsWanted::kLast});
      }
      if (stop_.stop_requested()) return std::unexpected(cancelled());
      TRY(const Logits logits, decoder_.forward(steps));
      static_cast<void>(logits);
    }
    return {};
  }

  Result<void> decode_all() {
    for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
      decoder_.truncate(SlotId{slot}, options_.depth_tokens);
    }
    return decode_steps();
  }

  Result<void> decode_steps() {
    std::vector<TokenId> next(options_.streams);
    for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
      // Streams that say different things, as they do in life.
      next[slot] = tokens_[slot % tokens_.size()];
    }
    std::vector<Step> steps(options_.streams);
    for (std::uint32_t token = 0; token < options_.generate_tokens; ++token) {
      if (stop_.stop_requested()) return std::unexpected(cancelled());
      for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
        steps[slot] = Step{SlotId{slot}, {&next[slot], 1}, LogitsWanted::kLast};
      }
      TRY(const Logits logits, decoder_.forward(steps));
      for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
        next[slot] = most_likely(logits.row(slot));
      }
    }
    return {};
  }

  Decoder& decoder_;
  const MeasureOptions& options_;
  const std::stop_token stop_;
  const ProgressSink& progress_;
  std::vector<TokenId> tokens_;
  std::uint64_t steps_done_ = 0;
  std::uint64_t steps_total_ = 0;
};

Result<void> check_options(const DecoderLimits& limits, const MeasureOptions& options) {
  if (options.streams == 0 || options.repetitions == 0) {
    return std::unexpected(invalid_request("a bench has at least one stream and one repetition"));
  }
  if (options.streams > limits.slots) {
    return std::unexpected(invalid_request(fmt::format(
        "{} streams need as many slots, and there are {}", options.streams, limits.slots)));
  }
  const std::uint32_t streamed =
      options.streams > 1 ? options.prompt_tokens + options.generate_tokens : 0;
  const std::uint64_t deepest =
      std::uint64_t{options.depth_tokens} +
      std::max({options.prompt_tokens, options.generate_tokens, kFirstTokenPrompt, streamed});
  if (deepest > limits.slot_tokens_max) {
    return std::unexpected(invalid_request(
        fmt::format("depth and prompt (or generated tokens) make {}, and the context has {}",
                    deepest, limits.slot_tokens_max),
        "Take a smaller --depth, --prompt or --generate."));
  }
  return {};
}

struct Loaded {
  LoadedDecoder decoder;
  std::shared_ptr<const Tokenizer> tokenizer;
  double seconds = 0;
  double model_seconds = 0;  ///< Without waiting for the tokenizer.
};

Result<Loaded> load_all(const ModelFolder& folder, const RuntimeOptions& runtime,
                        std::stop_token stop, const ProgressSink& progress) {
  const auto start = Clock::now();
  Loaded loaded;
  Result<std::shared_ptr<const Tokenizer>> tokenizer;
  Result<LoadedDecoder> decoder = std::unexpected(Error{});
  {
    // Side by side, as the server loads them.
    const std::jthread beside([&] { tokenizer = Tokenizer::load(folder.tokenizer_file()); });
    decoder = load_decoder(folder, runtime, stop, progress);
    loaded.model_seconds = seconds_since(start);
  }
  if (!decoder) return std::unexpected(decoder.error());
  loaded.decoder = *std::move(decoder);
  // A bare .onnx file has none, and a bench needs no text.
  if (!tokenizer && tokenizer.error().code != ErrorCode::kNotFound) {
    return std::unexpected(tokenizer.error());
  }
  if (tokenizer) loaded.tokenizer = *std::move(tokenizer);
  loaded.seconds = seconds_since(start);
  return loaded;
}

}  // namespace

Result<Measurement> measure_decoder(Decoder& decoder, const MeasureOptions& options,
                                    std::stop_token stop, const ProgressSink& progress) {
  TRY_VOID(check_options(decoder.limits(), options));
  return Bench(decoder, options, std::move(stop), progress).run();
}

Result<Measurement> measure(const ModelFolder& folder, RuntimeOptions runtime,
                            const MeasureOptions& options, std::stop_token stop,
                            const ProgressSink& progress) {
  runtime.slots = std::max(options.streams, 1U);
  bool derived_files = false;
  const ProgressSink watch = [&](std::string_view what, std::uint64_t done, std::uint64_t total) {
    derived_files = true;
    if (progress) progress(what, done, total);
  };
  TRY(Loaded loaded, load_all(folder, runtime, stop, watch));
  if (std::exchange(derived_files, false)) {
    loaded = {};
    TRY(loaded, load_all(folder, runtime, stop, {}));
  }
  TRY(Measurement measurement, measure_decoder(*loaded.decoder.decoder, options, stop, progress));
  measurement.load_ms = loaded.seconds * 1e3;
  measurement.model_load_ms = loaded.model_seconds * 1e3;
  measurement.resident_bytes = resident_memory_bytes();
  measurement.execution_provider = std::move(loaded.decoder.execution_provider);
  measurement.warnings = std::move(loaded.decoder.warnings);
  return measurement;
}

}  // namespace onnxlocal
