#pragma once

#include <condition_variable>
#include <mutex>

namespace onnxlocal {

/// Holds a thread of the code under test until the test opens it; then all pass. Any thread.
class Turnstile {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    is_reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_reached_; });
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_reached_ = false;  // These are guarded by mutex_.
  bool is_open_ = false;
};

}  // namespace onnxlocal
