#pragma once

#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "generation/event.h"

namespace onnxlocal::openai {

/// An event of one of the several answers to a request.
struct AnswerEvent {
  std::uint32_t answer = 0;
  GenerationEvent event;
};

/// Carries the events of several answers, in order, from the threads that make them to the one that
/// writes them. Any thread may call any method.
class AnswerLog {
 public:
  void add(std::uint32_t answer, GenerationEvent event) {
    const std::scoped_lock lock(mutex_);
    events_.push_back({answer, std::move(event)});
  }

  std::vector<AnswerEvent> take_all() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<AnswerEvent> events_;  // Guarded by mutex_.
};

}  // namespace onnxlocal::openai
