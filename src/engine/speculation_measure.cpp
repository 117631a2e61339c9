#include "engine/speculation_measure.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "engine/drafter.h"
#include "engine/loop.h"

namespace onnxlocal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kWarmUpTokens = 16;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Runs the model, and then says what the recorded text says.
class RecordedDecoder final : public Decoder {
 public:
  RecordedDecoder(Decoder& model, std::span<const TokenId> text) : model_(model), text_(text) {}

  const DecoderLimits& limits() const override { return model_.limits(); }
  const KvLayout& layout() const override { return model_.layout(); }

  Result<Logits> forward(std::span<const Step> steps) override {
    chosen_.clear();
    for (const Step& step : steps) {
      if (step.logits == LogitsWanted::kNone) continue;
      const std::size_t before = model_.length(step.slot);
      const std::size_t end = before + step.tokens.size();
      const bool is_all = step.logits == LogitsWanted::kAll;
      for (std::size_t next = is_all ? before + 1 : end; next <= end; ++next) {
        chosen_.push_back(next < text_.size() ? text_[next] : 0);
      }
    }
    TRY(const Logits logits, model_.forward(steps));
    return point_at_chosen(logits.rows);
  }

  std::uint64_t free_tokens() const override { return model_.free_tokens(); }
  std::uint32_t length(SlotId slot) const override { return model_.length(slot); }
  void truncate(SlotId slot, std::uint32_t tokens) override { model_.truncate(slot, tokens); }
  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) override {
    return model_.copy_prefix(from, to, tokens);
  }
  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const override {
    return model_.export_blocks(slot, first_block, bytes);
  }
  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) override {
    return model_.import_blocks(slot, bytes);
  }

 private:
  /// Rows of zeros with a one: only what changes is written, as if the model itself had said so.
  Result<Logits> point_at_chosen(std::uint32_t rows) {
    if (rows != chosen_.size()) return std::unexpected(internal_error("rows are missing"));
    for (const std::size_t at : ones_) values_[at] = 0;
    ones_.clear();
    const std::size_t width = limits().vocabulary_size;
    values_.resize(std::max(values_.size(), rows * width), 0);
    for (std::size_t row = 0; row < rows; ++row) {
      ones_.push_back(row * width + static_cast<std::size_t>(chosen_[row]));
      values_[ones_.back()] = 1;
    }
    return Logits{.values = std::span(values_).first(rows * width), .rows = rows};
  }

  Decoder& model_;
  const std::span<const TokenId> text_;
  std::vector<TokenId> chosen_;  ///< By row of the next logits.
  std::vector<float> values_;
  std::vector<std::size_t> ones_;  ///< Places in `values_` that are not zero.
};

/// Knows the text, and guesses it right with a given chance.
class ScriptedDrafter final : public Drafter {
 public:
  ScriptedDrafter(std::span<const TokenId> text, std::uint32_t vocabulary_size, double acceptance)
      : text_(text), vocabulary_size_(vocabulary_size), acceptance_(acceptance) {}

  DraftPrepared prepare(const DraftSource& source, std::uint32_t tokens_max) override {
    const std::size_t left = text_.size() - std::min(text_.size(), source.tokens.size());
    const auto known = static_cast<std::uint32_t>(std::min<std::size_t>(left, tokens_max));
    return {.tokens_max = known, .kind = 0};
  }
  void draft(std::span<const DraftRequest> requests) override {
    for (const DraftRequest& request : requests) {
      for (std::uint32_t i = 0; i < request.tokens_max; ++i) {
        const std::size_t at = request.source.tokens.size() + i;
        const auto wrong = (static_cast<std::uint32_t>(text_[at]) + 1) % vocabulary_size_;
        request.draft->push_back(is_right(at) ? text_[at] : static_cast<TokenId>(wrong));
      }
    }
  }
  void forget(SlotId /*slot*/) override {}
  double token_cost() const override { return 0; }

 private:
  /// The same for a place in every run.
  bool is_right(std::size_t at) const {
    std::uint64_t hash = (at + 1) * 0x9E3779B97F4A7C15ULL;
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
    return static_cast<double>(hash >> 11) * 0x1p-53 < acceptance_;
  }

  const std::span<const TokenId> text_;
  const std::uint32_t vocabulary_size_;
  const double acceptance_;
};

/// What one way of writing the text came to.
struct Run {
  std::uint64_t tokens = 0;
  Clock::time_point first{};
  Clock::time_point last{};
  std::optional<Error> failure;
  EngineStatus status;
};

class Measuring {
 public:
  Measuring(Decoder& decoder, const RecordedText& text, const SpeculationMeasureOptions& options,
            std::stop_token stop)
      : decoder_(decoder), recorded_(text), options_(options), stop_(std::move(stop)) {
    text_ = text.prompt;
    text_.insert(text_.end(), text.answer.begin(), text.answer.end());
  }

  Result<double> tokens_per_s(bool guesses, std::uint32_t tokens, EngineStatus* status) {
    TRY(const Run run, write(guesses ? make_drafter() : nullptr, tokens));
    if (status) *status = run.status;
    const std::chrono::duration<double> took = run.last - run.first;
    return static_cast<double>(run.tokens - 1) / took.count();
  }

 private:
  std::unique_ptr<Drafter> make_drafter() const {
    const DecoderLimits& limits = decoder_.limits();
    if (!options_.acceptance) return make_prompt_lookup(limits.slots);
    return std::make_unique<ScriptedDrafter>(text_, limits.vocabulary_size, *options_.acceptance);
  }

  Result<Run> write(std::unique_ptr<Drafter> drafter, std::uint32_t tokens) {
    Run run;
    EngineOptions engine;
    engine.prefix_cache_bytes_max = 0;
    engine.speculation.measure_costs = options_.measure_costs;
    EngineLoop loop(std::make_unique<RecordedDecoder>(decoder_, text_), nullptr, engine,
                    std::move(drafter));
    SequenceRequest request;
    request.prompt = recorded_.prompt;
    request.tokens_max = tokens;
    request.sampling.temperature = 0;
    request.ignore_end_tokens = true;
    TRY_VOID(loop.submit(std::move(request), [&run](GenerationEvent event) {
      if (const auto* delta = std::get_if<GenerationDelta>(&event)) {
        run.last = Clock::now();
        if (run.tokens == 0) run.first = run.last;
        run.tokens += delta->tokens.size();
      } else if (auto* failed = std::get_if<GenerationFailed>(&event)) {
        run.failure = std::move(failed->error);
      }
    }));
    while (loop.run_one_step()) {
      if (stop_.stop_requested()) return std::unexpected(cancelled());
    }
    if (run.failure) return std::unexpected(*std::move(run.failure));
    run.status = loop.status();
    return run;
  }

  Decoder& decoder_;
  const RecordedText& recorded_;
  const SpeculationMeasureOptions& options_;
  const std::stop_token stop_;
  std::vector<TokenId> text_;
};

Result<void> check(const DecoderLimits& limits, const RecordedText& text) {
  if (limits.mixing != StepMixing::kRagged) {
    return std::unexpected(
        unsupported("speculation needs steps that verify several tokens at once",
                    "the stock CPU provider has none: leave --ep at its default"));
  }
  const std::size_t tokens = text.prompt.size() + text.answer.size();
  if (text.prompt.empty() || text.answer.size() < 2 || tokens > limits.slot_tokens_max) {
    return std::unexpected(invalid_request(
        fmt::format("a recorded text has a prompt, two tokens of answer or more, and {} in all; "
                    "this one has {} and {}",
                    limits.slot_tokens_max, text.prompt.size(), text.answer.size())));
  }
  return {};
}

void empty_slots(Decoder& decoder) {
  for (std::uint32_t slot = 0; slot < decoder.limits().slots; ++slot) {
    decoder.truncate(SlotId{slot}, 0);
  }
}

}  // namespace

Result<SpeculationMeasurement> measure_speculation(Decoder& decoder, const RecordedText& text,
                                                   const SpeculationMeasureOptions& options,
                                                   std::stop_token stop,
                                                   const ProgressSink& progress) {
  TRY_VOID(check(decoder.limits(), text));
  empty_slots(decoder);
  Measuring measuring(decoder, text, options, std::move(stop));
  const auto all = static_cast<std::uint32_t>(text.answer.size());
  EngineStatus status;
  std::vector<double> plain;
  std::vector<double> guessed;
  for (const bool guesses : {false, true}) {
    TRY_VOID(measuring.tokens_per_s(guesses, std::min(all, kWarmUpTokens), nullptr));
  }
  const std::uint32_t repetitions = std::max(options.repetitions, 1U);
  for (std::uint32_t i = 0; i < repetitions; ++i) {
    TRY(const double without, measuring.tokens_per_s(false, all, nullptr));
    TRY(const double with, measuring.tokens_per_s(true, all, &status));
    plain.push_back(without);
    guessed.push_back(with);
    if (progress) progress("measuring", i + 1, repetitions);
  }
  return SpeculationMeasurement{.decode_tokens_per_s = median(guessed),
                                .plain_decode_tokens_per_s = median(plain),
                                .draft_tokens = status.draft_tokens,
                                .accepted_tokens = status.accepted_tokens};
}

RecordedText made_up_text(std::uint32_t prompt_tokens, std::uint32_t answer_tokens,
                          std::uint32_t vocabulary_size) {
  std::uint64_t state = 0x9E3779B97F4A7C15;
  const auto next = [&] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return static_cast<TokenId>((state >> 33) % vocabulary_size);
  };
  RecordedText text{.prompt = std::vector<TokenId>(prompt_tokens),
                    .answer = std::vector<TokenId>(answer_tokens)};
  std::ranges::generate(text.prompt, next);
  std::ranges::generate(text.answer, next);
  return text;
}

}  // namespace onnxlocal
