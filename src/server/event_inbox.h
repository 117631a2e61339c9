#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "generation/event.h"

namespace onnxlocal {

/// Carries the events of one generation from the engine's thread to a session. Its size is bounded
/// by the tokens of the generation. Any thread may call any method.
class EventInbox {
 public:
  /// `wake` is called when something came into an empty inbox, on the thread that brought it. It
  /// must not block.
  explicit EventInbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void push(GenerationEvent event) {
    const std::scoped_lock lock(mutex_);
    if (!wake_ || has_ended_) return;
    has_ended_ = std::holds_alternative<GenerationFinished>(event) ||
                 std::holds_alternative<GenerationFailed>(event);
    events_.push_back(std::move(event));
    // Under the lock, so that nobody is woken after `close` returned.
    if (events_.size() == 1) wake_();
  }

  std::vector<GenerationEvent> take_all() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(events_, {});
  }

  bool is_empty() const {
    const std::scoped_lock lock(mutex_);
    return events_.empty();
  }

  /// Drops what is there and what still comes; `wake` is not called again.
  void close() {
    const std::scoped_lock lock(mutex_);
    wake_ = nullptr;
    events_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::function<void()> wake_;
  std::vector<GenerationEvent> events_;
  bool has_ended_ = false;  ///< Nothing comes after a last event, whoever pushed it.
};

}  // namespace onnxlocal
