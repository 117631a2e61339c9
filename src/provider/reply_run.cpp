#include "provider/reply_run.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/log.h"
#include "text/json_schema.h"

namespace onnxlocal {

ReplyRun::ReplyRun(Parts parts) : parts_(std::move(parts)) {
  if (!parts_.plan.reader) return;
  reader_.emplace(parts_.tongue.dialect, *parts_.plan.reader);
  // Those of the engine would also stop within thinking and calls.
  auto stop_strings = std::exchange(parts_.sequence.stop_strings, {});
  if (!stop_strings.empty()) stops_.emplace(std::move(stop_strings));
}

Result<std::shared_ptr<ReplyRun>> ReplyRun::start(Parts parts) {
  auto run = std::make_shared<ReplyRun>(std::move(parts));
  TRY(const SequenceId id, run->submit());
  const std::scoped_lock lock(run->mutex_);
  // A second try may be under way already.
  if (!run->running_) run->running_ = id;
  return run;
}

Result<SequenceId> ReplyRun::submit() {
  TRY(SequenceRequest request, next_request());
  return parts_.engine->submit(
      std::move(request), [self = shared_from_this(), attempt = attempt_](GenerationEvent event) {
        self->take(attempt, std::move(event));
      });
}

/// From behind `tokens_`.
Result<SequenceRequest> ReplyRun::next_request() const {
  const SequenceRequest& asked = parts_.sequence;
  SequenceRequest request;
  request.prompt = parts_.prompt.tokens;
  request.prompt.insert(request.prompt.end(), tokens_.begin(), tokens_.end());
  request.sampling = asked.sampling;
  request.tokens_max = asked.tokens_max - static_cast<std::uint32_t>(tokens_.size());
  request.stop_strings = asked.stop_strings;
  request.stop_tokens = parts_.plan.stop_tokens;
  request.cache_scope = asked.cache_scope;
  request.visible_tokens = parts_.plan.visible_tokens;
  request.priority = asked.priority;
  request.pins = asked.pins;
  request.agent = asked.agent;
  if (parts_.plan.is_constrained()) {
    TRY(request.constraint, ReplyConstraint::create({.tokenizer = parts_.tongue.tokenizer,
                                                     .grammar = parts_.plan.grammar,
                                                     .thinking = parts_.plan.thinking,
                                                     .end_tokens = parts_.tongue.end_tokens,
                                                     .replayed = tokens_}));
  }
  if (attempt_ > 0) {
    constexpr float kTemperature = 0.7F;
    request.sampling.temperature = std::max(kTemperature, asked.sampling.temperature.value_or(0));
    if (request.sampling.seed) ++*request.sampling.seed;
  }
  return request;
}

void ReplyRun::cancel() {
  const std::scoped_lock lock(mutex_);
  is_cancelled_ = true;
  if (running_) parts_.engine->cancel(*running_);
}

std::optional<Usage> ReplyRun::prompt_usage() {
  const std::scoped_lock lock(mutex_);
  return running_ ? parts_.engine->prompt_usage(*running_) : std::nullopt;
}

void ReplyRun::take(std::uint32_t attempt, GenerationEvent event) {
  if (attempt != attempt_ || is_over_) return;
  if (auto* started = std::get_if<GenerationStarted>(&event)) {
    take_started(std::move(*started));
  } else if (auto* delta = std::get_if<GenerationDelta>(&event)) {
    take_delta(std::move(*delta));
  } else if (auto* finished = std::get_if<GenerationFinished>(&event)) {
    take_finished(std::move(*finished));
  } else if (auto* failed = std::get_if<GenerationFailed>(&event)) {
    take_failed(std::move(*failed));
  }
}

void ReplyRun::take_started(GenerationStarted started) {
  if (started_) return;
  started_ = started.usage;
  parts_.sink(std::move(started));
}

void ReplyRun::take_delta(GenerationDelta delta) {
  const std::size_t before = tokens_.size();
  for (const TokenReport& report : delta.tokens) tokens_.push_back(report.chosen.token);
  if (!reader_) {
    if (plain_.content.empty()) plain_.content.emplace_back(TextBlock{});
    std::get<TextBlock>(plain_.content.front()).text += delta.text;
    parts_.sink(std::move(delta));
    return;
  }
  const bool may_need_mark = !parts_.plan.checked_schemas.empty() && reader_->is_calling();
  if (may_need_mark && !reader_->is_in_input()) {
    mark_ = Mark{.reader = *reader_, .tokens = before};
  }
  reader_->push(delta.text, std::move(delta.tokens), events_);
  take_events();
}

bool ReplyRun::take_events() {
  std::vector<ReplyEvent> events = std::exchange(events_, {});
  return std::ranges::all_of(events,
                             [this](ReplyEvent& event) { return take_event(std::move(event)); });
}

bool ReplyRun::take_event(ReplyEvent event) {
  if (auto* text = std::get_if<GenerationDelta>(&event)) {
    show_text(std::move(*text));
    return !is_over_;
  }
  flush_text();
  if (const auto* started = std::get_if<ToolUseStarted>(&event)) {
    has_tried_again_ = has_tried_again_ && !held_name_.empty();
    held_name_ = parts_.plan.checked_schemas.contains(started->name) ? started->name : "";
  }
  if (!held_name_.empty()) {
    const bool is_end = std::holds_alternative<ToolInputEnded>(event);
    held_.push_back(std::move(event));
    return !is_end || end_call(std::get<ToolInputEnded>(held_.back()));
  }
  held_.push_back(std::move(event));
  release_held();
  return true;
}

bool ReplyRun::end_call(const ToolInputEnded& ended) {
  const std::string& name = held_name_;
  if (ended.is_whole) {
    const auto valid = validate_json(parts_.plan.checked_schemas.at(name), ended.call.input);
    if (!valid) {
      if (!has_tried_again_ && try_again()) return false;
      LOG_WARNING("a call of {} does not satisfy the tool's schema", name);
      warnings_.push_back(fmt::format("the input of {} does not satisfy its schema: {}", name,
                                      valid.error().message));
    }
  }
  held_name_.clear();
  has_tried_again_ = false;
  mark_.reset();
  release_held();
  return true;
}

/// The call once more, with other luck. False where that cannot be.
bool ReplyRun::try_again() {
  if (!mark_ || mark_->tokens >= parts_.sequence.tokens_max) return false;
  const std::scoped_lock lock(mutex_);
  if (is_cancelled_) return false;
  const std::vector<TokenId> all = std::exchange(
      tokens_, {tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(mark_->tokens)});
  ++attempt_;
  const auto id = submit();
  if (!id) {
    tokens_ = all;
    --attempt_;
    return false;
  }
  if (running_) parts_.engine->cancel(*running_);
  running_ = *id;
  reader_ = mark_->reader;
  has_tried_again_ = true;
  held_.clear();
  events_.clear();
  return true;
}

void ReplyRun::show_text(GenerationDelta delta) {
  if (!stops_) {
    parts_.sink(std::move(delta));
    return;
  }
  std::ranges::move(delta.tokens, std::back_inserter(text_reports_));
  StopMatcher::Release release = stops_->push(delta.text);
  if (!release.text.empty()) {
    parts_.sink(GenerationDelta{.text = std::move(release.text),
                                .tokens = std::exchange(text_reports_, {})});
  }
  if (release.stop_string) stop_at(*release.stop_string);
}

/// No stop string reaches over what is not text.
void ReplyRun::flush_text() {
  if (!stops_) return;
  std::string text = stops_->flush();
  if (text.empty()) return;
  parts_.sink(GenerationDelta{.text = std::move(text), .tokens = std::exchange(text_reports_, {})});
}

void ReplyRun::release_held() {
  for (ReplyEvent& event : held_) {
    std::visit(
        [this](auto& shown) {
          using Shown = std::decay_t<decltype(shown)>;
          if constexpr (!std::is_same_v<Shown, ToolInputEnded>) parts_.sink(std::move(shown));
        },
        event);
  }
  held_.clear();
}

void ReplyRun::stop_at(const std::string& stop_string) {
  Usage usage = started_.value_or(Usage{});
  usage.output_tokens = static_cast<std::uint32_t>(tokens_.size());
  usage.thinking_tokens = reader_->thinking_tokens();
  is_over_ = true;
  {
    const std::scoped_lock lock(mutex_);
    if (running_) parts_.engine->cancel(*running_);
  }
  parts_.sink(GenerationFinished{.reason = StopReason::kStopString,
                                 .stop_string = stop_string,
                                 .usage = usage,
                                 .warnings = std::move(warnings_)});
}

void ReplyRun::take_finished(GenerationFinished finished) {
  // Of a later try the usage is its own: the prompt is the first one's.
  if (attempt_ > 0) {
    const std::uint32_t ends = finished.reason == StopReason::kEndOfTurn ? 1 : 0;
    const std::uint32_t thinking = finished.usage.thinking_tokens;
    finished.usage = started_.value_or(finished.usage);
    finished.usage.output_tokens = static_cast<std::uint32_t>(tokens_.size()) + ends;
    finished.usage.thinking_tokens = thinking;
  }
  if (reader_) {
    reader_->finish(events_, finished.reason == StopReason::kTokensMax ||
                                 finished.reason == StopReason::kContextFull);
    if (!take_events()) return;
    flush_text();
    finished.usage.thinking_tokens = reader_->thinking_tokens();
    if (finished.reason == StopReason::kEndOfTurn && reader_->has_called()) {
      finished.reason = StopReason::kToolUse;
    }
  }
  finish(std::move(finished));
}

void ReplyRun::finish(GenerationFinished finished) {
  is_over_ = true;
  // At a stop string, tokens and text need not end at the same place; what we closed ourselves was
  // never generated.
  const bool is_exact =
      finished.reason != StopReason::kStopString && (!reader_ || reader_->closed_calls() == 0);
  if (is_exact) {
    parts_.prompts->remember(parts_.prompt, parts_.sequence.cache_scope,
                             reader_ ? reader_->message() : plain_, tokens_);
  }
  if (reader_ && reader_->closed_calls() > 0 && finished.reason == StopReason::kToolUse) {
    warnings_.emplace_back("the input of a call was no JSON, and was mended");
  }
  std::ranges::move(warnings_, std::back_inserter(finished.warnings));
  parts_.sink(std::move(finished));
}

void ReplyRun::take_failed(GenerationFailed failed) {
  is_over_ = true;
  parts_.sink(std::move(failed));
}

}  // namespace onnxlocal
