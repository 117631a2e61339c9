#include "engine/executor.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/limits.h"

namespace onnxlocal {
namespace {

/// Delivers what came of a token, unless there is nothing to see yet.
void deliver(Sequence& sequence, Output::Release& release) {
  if (!release.is_empty()) sequence.sink(std::move(release.delta));
}

}  // namespace

Executor::Executor(std::unique_ptr<Decoder> decoder, const EngineOptions& options,
                   MaskDispatch mask_dispatch, std::unique_ptr<Drafter> drafter,
                   std::function<void()> on_disk_news)
    : options_(options),
      decoder_(std::move(decoder)),
      rule_(make_chunk_rule(options.chunk_tokens, decoder_->limits(), decoder_->layout())),
      keeper_(*decoder_, rule_, options_, std::move(on_disk_news)),
      slots_(decoder_->limits().slots, options.kv_bytes_max),
      shared_tokens_(decoder_->free_tokens()),
      mask_dispatch_(std::move(mask_dispatch)) {
  if (drafter) speculator_.emplace(std::move(drafter), decoder_->limits(), options.speculation);
}

Executor::~Executor() = default;

bool Executor::step() {
  const bool has_news = keeper_.poll();
  const bool has_sampled = sample_held();
  admit();
  const StepPlan next = plan();
  if (next.steps.empty()) return has_sampled || has_news;
  run(next);
  remove_ended();
  return true;
}

/// What waited for masks that have come now.
bool Executor::sample_held() {
  bool has_sampled = false;
  for (const auto& sequence : running_) {
    if (!sequence->waits_for_mask() || !sequence->masks->is_ready()) continue;
    take_logits(*sequence, std::exchange(sequence->held_logits, {}));
    has_sampled = true;
  }
  remove_ended();
  return has_sampled;
}

StepPlan Executor::plan() {
  const bool is_ragged = limits().mixing == StepMixing::kRagged;
  // Before each chunk, not only at the start: another sequence may have computed what comes next
  // (many clients that send one system prompt at the same time).
  for (const auto& sequence : running_) {
    if (!sequence->is_prefilling() || sequence->is_restoring()) continue;
    if (is_ragged && sequence->position == 0) {
      if (waits_for_blocks(*sequence)) continue;
      share_prefix(*sequence);
    }
    keeper_.take(*sequence);
  }
  if (speculator_) propose_drafts();
  std::vector<SequenceView> views;
  views.reserve(running_.size());
  for (const auto& sequence : running_) {
    const bool waits_for_others = is_ragged && waits_for_blocks(*sequence);
    views.push_back(
        {.prompt_tokens = sequence->prefill_tokens,
         .position = sequence->position,
         .draft_tokens = static_cast<std::uint32_t>(sequence->draft.size()),
         .is_waiting = waits_for_others || sequence->waits_for_mask() || sequence->is_restoring(),
         .is_batch = sequence->is_batch()});
  }
  return plan_step({.sequences = views,
                    .rule = rule_,
                    .mixing = limits().mixing,
                    .last_was_chunk = last_was_chunk_,
                    .chunks_run = chunks_run_});
}

void Executor::propose_drafts() {
  std::uint32_t prompt_tokens = 0;
  for (const auto& sequence : running_) {
    if (sequence->is_prefilling()) prompt_tokens += sequence->prefill_tokens - sequence->position;
  }
  speculator_->propose(running_, std::min(prompt_tokens, rule_.tokens));
}

void Executor::run(const StepPlan& plan) {
  std::vector<Step> steps;
  steps.reserve(plan.steps.size());
  for (const PlannedStep& planned : plan.steps) {
    Sequence& sequence = *running_[planned.sequence];
    // Guesses stand behind the tokens while they are verified.
    sequence.tokens.insert(sequence.tokens.end(), sequence.draft.begin(), sequence.draft.end());
    LogitsWanted wanted = planned.needs_logits ? LogitsWanted::kLast : LogitsWanted::kNone;
    if (!sequence.draft.empty()) wanted = LogitsWanted::kAll;
    steps.push_back(
        {.slot = *sequence.slot,
         .tokens = std::span(sequence.tokens).subspan(sequence.position, planned.tokens),
         .logits = wanted});
  }
  const auto is_of_batch = [this](const PlannedStep& planned) {
    return running_[planned.sequence]->request.priority == Priority::kBatch;
  };
  if (std::ranges::any_of(plan.steps, is_of_batch)) batch_served_ = options_.now();
  last_was_chunk_ = plan.has_chunk;
  chunks_run_ += plan.has_chunk ? 1 : 0;
  const auto logits = forward(steps, plan);
  for (const PlannedStep& planned : plan.steps) {
    Sequence& sequence = *running_[planned.sequence];
    sequence.tokens.resize(sequence.tokens.size() - sequence.draft.size());
  }
  if (!logits) {
    fail_plan(plan, logits.error());
    return;
  }
  failures_in_a_row_ = 0;
  std::uint32_t row = 0;
  for (const PlannedStep& planned : plan.steps) {
    Sequence& sequence = *running_[planned.sequence];
    if (sequence.is_prefilling()) {
      sequence.position += planned.tokens;
      keeper_.keep(sequence);
      if (!planned.needs_logits) continue;
      begin_answer(sequence);
      take_logits(sequence, logits->row(row++));
    } else {
      take_rows(sequence, *logits, row, planned.tokens);
      row += planned.tokens;
    }
  }
  // After the last look at the logits: guesses that were wrong leave their slots.
  for (const PlannedStep& planned : plan.steps) {
    const Sequence& sequence = *running_[planned.sequence];
    if (decoder_->length(*sequence.slot) > sequence.position) {
      decoder_->truncate(*sequence.slot, sequence.position);
    }
  }
}

Result<Logits> Executor::forward(std::span<const Step> steps, const StepPlan& plan) {
  const auto begin = std::chrono::steady_clock::now();
  auto logits = decoder_->forward(steps);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (logits) count_step(plan, took.count());
  return logits;
}

void Executor::count_step(const StepPlan& plan, double seconds) {
  std::uint32_t prefill_rows = 0;
  std::uint32_t decode_rows = 0;
  for (const PlannedStep& planned : plan.steps) {
    const bool is_prefill = running_[planned.sequence]->is_prefilling();
    (is_prefill ? prefill_rows : decode_rows) += planned.tokens;
  }
  const double prefill_share =
      static_cast<double>(prefill_rows) / static_cast<double>(prefill_rows + decode_rows);
  totals_.prefill_tokens += prefill_rows;
  totals_.prefill_seconds += seconds * prefill_share;
  totals_.decode_seconds += seconds * (1 - prefill_share);
  if (prefill_rows > 0 || !speculator_ || !speculator_->measures()) return;
  const auto sequences = static_cast<std::uint32_t>(plan.steps.size());
  speculator_->step_ran(decode_rows, decode_rows - sequences, seconds);
}

/// The prompt is computed. Nothing to tell where that was so before it was preempted.
void Executor::begin_answer(Sequence& sequence) {
  if (sequence.has_begun) return;
  sequence.usage.input_tokens = sequence.prompt_tokens - sequence.usage.cache_read_tokens -
                                sequence.usage.cache_creation_tokens;
  totals_.prompt_tokens += sequence.prompt_tokens;
  totals_.cached_tokens += sequence.usage.cache_read_tokens;
  sequence.sink(GenerationStarted{.usage = sequence.usage, .cache = keeper_.report(sequence)});
  sequence.has_begun = true;
}

/// Row by row, as if each were a step of its own: until the sequence ends, or the token that is
/// chosen is not the one whose row comes next.
void Executor::take_rows(Sequence& sequence, const Logits& logits, std::uint32_t first_row,
                         std::uint32_t rows) {
  std::uint32_t taken = 0;
  bool is_as_guessed = true;
  while (taken < rows && is_as_guessed && !sequence.end) {
    take_logits(sequence, logits.row(first_row + taken));
    is_as_guessed =
        taken + 1 < rows && !sequence.end && sequence.tokens.back() == sequence.draft[taken];
    ++taken;
  }
  sequence.position += taken;
  totals_.decode_tokens += taken;
  totals_.draft_tokens += rows - 1;
  totals_.accepted_tokens += taken - 1;
  if (speculator_) speculator_->verified(sequence, taken - 1);
  sequence.draft.clear();
}

void Executor::fail_plan(const StepPlan& plan, const Error& error) {
  ++failures_in_a_row_;
  LOG_ERROR("the decoder failed ({} in a row): {}", failures_in_a_row_, describe(error));
  for (const PlannedStep& planned : plan.steps) {
    Sequence& sequence = *running_[planned.sequence];
    sequence.position = 0;  // The decoder emptied the slot.
    fail(sequence, internal_error(error.message, error.hint));
  }
}

void Executor::take_logits(Sequence& sequence, std::span<const float> logits) {
  std::span<const std::uint32_t> mask;
  if (sequence.masks) {
    if (!sequence.masks->is_ready()) return hold_logits(sequence, logits);
    const auto& computed = sequence.masks->mask();
    if (!computed) {
      return fail(sequence, internal_error(computed.error().message, computed.error().hint));
    }
    mask = *computed;
  }
  auto report = sequence.sampler.choose(logits, scratch_, mask);
  if (!report) return fail(sequence, report.error());
  const TokenId token = report->chosen.token;
  const std::uint32_t generated = ++sequence.usage.output_tokens;
  ++totals_.generated_tokens;
  if (is_end_token(sequence, token)) return finish(sequence, StopReason::kEndOfTurn);
  sequence.tokens.push_back(token);
  const bool is_last = generated == sequence.request.tokens_max;
  if (sequence.masks && !is_last) sequence.masks->commit(token);
  auto release = sequence.output.push(*std::move(report));
  if (!release) return fail(sequence, release.error());
  deliver(sequence, *release);
  if (release->stop_string) {
    sequence.end = GenerationFinished{.reason = StopReason::kStopString,
                                      .stop_string = *std::move(release->stop_string),
                                      .usage = sequence.usage};
  } else if (is_last) {
    finish(sequence, sequence.is_clamped ? StopReason::kContextFull : StopReason::kTokensMax);
  }
}

/// The others need not wait for this one's mask; the logits are the decoder's until its next step.
void Executor::hold_logits(Sequence& sequence, std::span<const float> logits) {
  sequence.held_logits.assign(logits.begin(), logits.end());
  ++totals_.masks_late;
}

void Executor::finish(Sequence& sequence, StopReason reason) {
  auto release = sequence.output.finish();
  if (!release) return fail(sequence, release.error());
  deliver(sequence, *release);
  if (release->stop_string) reason = StopReason::kStopString;
  sequence.end = GenerationFinished{
      .reason = reason, .stop_string = release->stop_string.value_or(""), .usage = sequence.usage};
}

void Executor::fail(Sequence& sequence, Error error) {
  sequence.end = GenerationFailed{.error = std::move(error)};
}

bool Executor::is_end_token(const Sequence& sequence, TokenId token) const {
  const auto is_in = [token](const std::vector<TokenId>& tokens) {
    return std::ranges::find(tokens, token) != tokens.end();
  };
  return is_in(sequence.request.stop_tokens) ||
         (!sequence.request.ignore_end_tokens && is_in(options_.end_tokens));
}

}  // namespace onnxlocal
