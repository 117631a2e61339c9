#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "generation/event.h"

namespace onnxlocal {

/// What one generation's events came to.
struct Recorded {
  std::optional<Usage> started;
  CacheReport cache;
  std::vector<TokenId> tokens;
  std::vector<TokenReport> reports;
  std::string text;
  std::string thinking;
  struct Call {
    std::string id;
    std::string name;
    std::string input;
  };
  std::vector<Call> calls;
  std::uint32_t deltas = 0;
  std::optional<GenerationFinished> finished;
  std::optional<Error> failed;
  std::vector<std::string> violations;  ///< Events out of order: must stay empty.
  bool has_ended() const { return finished || failed; }
};

/// Takes the events of one generation on any thread and lets a test wait for them. The recorder may
/// go before its sink does.
class EventRecorder {
 public:
  EventSink sink() {
    return [state = state_](GenerationEvent event) {
      {
        const std::scoped_lock lock(state->mutex);
        state->take(std::move(event));
      }
      state->changed.notify_all();
    };
  }

  Recorded now() const {
    const std::scoped_lock lock(state_->mutex);
    return state_->recorded;
  }
  /// Waits for the last event; a test's own time limit ends a wait for one that never comes.
  Recorded wait() const {
    return wait_until([](const Recorded& recorded) { return recorded.has_ended(); });
  }
  template <class Condition>
  Recorded wait_until(Condition condition) const {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return condition(std::as_const(state_->recorded)); });
    return state_->recorded;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    Recorded recorded;

    void take(GenerationEvent event) {
      Recorded& r = recorded;
      if (r.has_ended()) r.violations.emplace_back("an event after the last one");
      if (auto* started = std::get_if<GenerationStarted>(&event)) {
        if (r.started) r.violations.emplace_back("started twice");
        r.started = started->usage;
        r.cache = std::move(started->cache);
      } else if (auto* delta = std::get_if<GenerationDelta>(&event)) {
        if (!r.started) r.violations.emplace_back("a delta before the start");
        ++r.deltas;
        r.text += delta->text;
        for (TokenReport& report : delta->tokens) {
          r.tokens.push_back(report.chosen.token);
          r.reports.push_back(std::move(report));
        }
      } else if (auto* thinking = std::get_if<ThinkingDelta>(&event)) {
        r.thinking += thinking->text;
      } else if (auto* call = std::get_if<ToolUseStarted>(&event)) {
        r.calls.push_back({.id = call->id, .name = call->name, .input = {}});
      } else if (auto* input = std::get_if<ToolInputDelta>(&event)) {
        if (r.calls.empty()) r.violations.emplace_back("input of no call");
        if (!r.calls.empty()) r.calls.back().input += input->json;
      } else if (auto* finished = std::get_if<GenerationFinished>(&event)) {
        if (!r.started) r.violations.emplace_back("finished before the start");
        r.finished = std::move(*finished);
      } else {
        r.failed = std::get<GenerationFailed>(std::move(event)).error;
      }
    }
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace onnxlocal
