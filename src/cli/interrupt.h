#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/result.h"

namespace onnxlocal {

/// A descriptor that becomes readable when it is called: wakes a thread that polls. Any thread.
class WakeUp {
 public:
  WakeUp();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;

  void call();
  /// True where it was called since the last time.
  bool take();
  int descriptor() const { return descriptor_; }

 private:
  const int descriptor_;
};

/// Takes SIGINT and SIGTERM for the process, on a thread of its own. Make it before any other
/// thread, which then inherits that both are blocked. Without a handler the first one asks to stop,
/// and the second ends the process at once (exit code 130): a step that does not look may take
/// long.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// Stop is requested by an interrupt that no handler took, and always by SIGTERM.
  std::stop_token stop_token() const { return stop_.get_token(); }

  /// Takes the interrupts while it lives; handlers nest, the innermost is called, on the thread of
  /// `Interrupts`. The destructor waits for a call that runs.
  class Handler {
   public:
    Handler(Interrupts& interrupts, std::function<void()> handle);
    ~Handler();
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

   private:
    Interrupts& interrupts_;
    std::function<void()> earlier_;
  };

 private:
  void watch(const std::stop_token& ended);
  void take(int signal);

  const int signals_;
  WakeUp end_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::function<void()> handle_;  ///< Guarded by `mutex_`.
  std::jthread thread_;           ///< Last: it uses the others.
};

}  // namespace onnxlocal
