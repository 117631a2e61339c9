#pragma once

#include <algorithm>
#include <chrono>

namespace onnxlocal {

/// A point in time by which a call that can wait must return. Unreachable by default.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  Deadline() = default;
  static Deadline after(Clock::duration duration) {
    const auto now = Clock::now();
    Deadline deadline;
    if (duration < Clock::time_point::max() - now) deadline.at_ = now + duration;
    return deadline;
  }

  Clock::time_point at() const { return at_; }
  bool is_unreachable() const { return at_ == Clock::time_point::max(); }
  bool has_passed() const { return !is_unreachable() && Clock::now() >= at_; }
  Clock::duration left() const {
    if (is_unreachable()) return Clock::duration::max();
    return std::max(Clock::duration::zero(), at_ - Clock::now());
  }

 private:
  Clock::time_point at_ = Clock::time_point::max();
};

}  // namespace onnxlocal
