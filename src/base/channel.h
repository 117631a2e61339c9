#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "base/deadline.h"

namespace onnxlocal {

enum class ChannelPush { kAccepted, kFull, kClosed };

/// A bounded, closable queue between threads. Any thread may call any method.
/// A full channel is an answer (`kFull`), not a wait. After `close` nothing more is accepted, and
/// what was accepted can still be taken.
template <class T>
class Channel {
 public:
  explicit Channel(std::size_t capacity) : capacity_(capacity) {}

  /// Takes `value` only if it is accepted.
  ChannelPush push(T&& value) {
    {
      const std::scoped_lock lock(mutex_);
      if (closed_) return ChannelPush::kClosed;
      if (queue_.size() >= capacity_) return ChannelPush::kFull;
      queue_.push_back(std::move(value));
    }
    ready_.notify_one();
    return ChannelPush::kAccepted;
  }

  std::optional<T> try_pop() {
    const std::scoped_lock lock(mutex_);
    return pop_locked();
  }

  /// Waits for a value. Empty when the deadline passed, or the channel is closed and drained.
  std::optional<T> pop(Deadline deadline = {}) {
    std::unique_lock lock(mutex_);
    const auto has_news = [this] { return closed_ || !queue_.empty(); };
    if (deadline.is_unreachable()) {
      ready_.wait(lock, has_news);
    } else {
      ready_.wait_until(lock, deadline.at(), has_news);
    }
    return pop_locked();
  }

  void close() {
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  std::size_t size() const {
    const std::scoped_lock lock(mutex_);
    return queue_.size();
  }

  bool is_closed() const {
    const std::scoped_lock lock(mutex_);
    return closed_;
  }

 private:
  std::optional<T> pop_locked() {
    if (queue_.empty()) return std::nullopt;
    std::optional<T> value(std::move(queue_.front()));
    queue_.pop_front();
    return value;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> queue_;
  bool closed_ = false;
};

}  // namespace onnxlocal
