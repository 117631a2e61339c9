// A smaller model guesses: its slots follow those of the model that it helps, and hold their tokens
// and the guesses that were run.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "engine/drafter.h"
#include "engine/limits.h"

namespace onnxlocal {
namespace {

/// A model that is worth it has a tenth of the weights or less.
constexpr double kAssumedTokenCost = 0.15;

class DraftModel final : public Drafter {
 public:
  explicit DraftModel(std::unique_ptr<Decoder> decoder)
      : decoder_(std::move(decoder)), states_(decoder_->limits().slots) {}

  DraftPrepared prepare(const DraftSource& source, std::uint32_t tokens_max) override {
    const DecoderLimits& limits = decoder_->limits();
    const auto size = static_cast<std::uint32_t>(source.tokens.size());
    if (has_failed() || size >= limits.slot_tokens_max) return {};
    take_back(source);
    if (size - held(source.slot) > limits.chunk_tokens_max) catch_up(source);
    if (size - held(source.slot) > limits.chunk_tokens_max) return {};
    return {.tokens_max = std::min(tokens_max, limits.slot_tokens_max - size), .kind = 0};
  }

  void draft(std::span<const DraftRequest> requests) override {
    std::vector<Active> active;
    for (const DraftRequest& request : requests) {
      const DraftSource& source = request.source;
      request.draft->reserve(request.tokens_max);  // Spans look into it.
      active.push_back({&request, source.tokens.subspan(held(source.slot))});
    }
    while (!active.empty() && !has_failed()) {
      if (!run_round(active)) return;
      std::erase_if(active, [](const Active& one) {
        return one.request->draft->size() == one.request->tokens_max;
      });
      for (Active& one : active) one.next = std::span(*one.request->draft).last(1);
    }
  }

  void forget(SlotId slot) override {
    states_.at(slot.value) = {};
    decoder_->truncate(slot, 0);
  }
  double token_cost() const override { return kAssumedTokenCost; }

 private:
  /// What a slot holds: the first `tokens` of its sequence, then guesses that were run.
  struct State {
    std::uint32_t tokens = 0;
    std::vector<TokenId> guesses;
  };
  struct Active {
    const DraftRequest* request;
    std::span<const TokenId> next;  ///< To be run for the next guess.
  };

  bool has_failed() const { return failures_in_a_row_ >= kDecoderFailuresMax; }
  std::uint32_t held(SlotId slot) const { return decoder_->length(slot); }

  /// Where the slots share one memory, each step may take a block more than it has tokens.
  bool has_room(std::span<const Step> steps) const {
    std::uint64_t tokens = 0;
    for (const Step& step : steps) tokens += step.tokens.size() + decoder_->layout().block_tokens;
    return tokens <= decoder_->free_tokens();
  }

  /// Keeps of the guesses those that came true.
  void take_back(const DraftSource& source) {
    State& state = states_.at(source.slot.value);
    const auto later = source.tokens.subspan(state.tokens);
    const auto wrong = std::ranges::mismatch(state.guesses, later).in1;
    state.tokens += static_cast<std::uint32_t>(wrong - state.guesses.begin());
    state.guesses.clear();
    if (held(source.slot) > state.tokens) decoder_->truncate(source.slot, state.tokens);
  }

  /// One chunk of a prompt.
  void catch_up(const DraftSource& source) {
    const auto behind = source.tokens.subspan(held(source.slot));
    const Step step{.slot = source.slot,
                    .tokens = behind.first(decoder_->limits().chunk_tokens_max),
                    .logits = LogitsWanted::kNone};
    if (forward({&step, 1})) states_.at(source.slot.value).tokens = held(source.slot);
  }

  /// As many of `active` from `begin` on as fit one pass.
  std::size_t batch_end(std::span<const Active> active, std::size_t begin) const {
    const DecoderLimits& limits = decoder_->limits();
    const bool is_ragged = limits.mixing == StepMixing::kRagged;
    std::size_t tokens = active[begin].next.size();
    std::size_t end = begin + 1;
    for (; end < active.size(); ++end) {
      const std::size_t more = active[end].next.size();
      if (is_ragged ? tokens + more > limits.chunk_tokens_max : tokens > end - begin || more > 1) {
        break;
      }
      tokens += more;
    }
    return end;
  }

  bool run_round(std::span<const Active> active) {
    for (std::size_t begin = 0; begin < active.size();) {
      const std::size_t end = batch_end(active, begin);
      if (!run_batch(active.subspan(begin, end - begin))) return false;
      begin = end;
    }
    return true;
  }

  bool run_batch(std::span<const Active> batch) {
    std::vector<Step> steps;
    for (const Active& one : batch) {
      steps.push_back({.slot = one.request->source.slot, .tokens = one.next});
    }
    const auto logits = forward(steps);
    if (!logits) return false;
    for (std::uint32_t row = 0; row < batch.size(); ++row) {
      const DraftRequest& request = *batch[row].request;
      std::vector<TokenId>& draft = *request.draft;
      State& state = states_.at(request.source.slot.value);
      if (draft.empty()) {
        state.tokens = static_cast<std::uint32_t>(request.source.tokens.size());
      } else {
        state.guesses.push_back(draft.back());
      }
      const auto token = request.source.sampler->guess(logits->row(row), draft.size(), scratch_);
      if (!token) return false;  // Not numbers; the guesses so far stand.
      draft.push_back(*token);
    }
    return true;
  }

  /// Errors are logged: a model that does not help is none that is needed.
  Result<Logits> forward(std::span<const Step> steps) {
    if (!has_room(steps)) return std::unexpected(overloaded("the draft model's memory is full"));
    auto logits = decoder_->forward(steps);
    if (logits) {
      failures_in_a_row_ = 0;
      return logits;
    }
    ++failures_in_a_row_;
    LOG_WARNING("the draft model failed ({} in a row): {}", failures_in_a_row_,
                describe(logits.error()));
    for (const Step& step : steps) states_.at(step.slot.value) = {};
    return logits;
  }

  const std::unique_ptr<Decoder> decoder_;
  std::vector<State> states_;  ///< By slot.
  SamplerScratch scratch_;
  std::uint32_t failures_in_a_row_ = 0;
};

}  // namespace

Result<std::unique_ptr<Drafter>> make_draft_model(std::unique_ptr<Decoder> decoder,
                                                  const DecoderLimits& target) {
  const DecoderLimits& limits = decoder->limits();
  if (limits.vocabulary_size != target.vocabulary_size) {
    return std::unexpected(invalid_request(
        fmt::format("the draft model has {} tokens, the model {}: they must be the same ones",
                    limits.vocabulary_size, target.vocabulary_size),
        "take a smaller model of the same family"));
  }
  if (limits.slots < target.slots) {
    return std::unexpected(invalid_request(
        fmt::format("the draft model has {} slots, the model {}", limits.slots, target.slots)));
  }
  return std::make_unique<DraftModel>(std::move(decoder));
}

}  // namespace onnxlocal
