#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace onnxlocal {

/// One line of progress: "importing  [#####-----]  50 %", at most `columns` wide.
std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total,
                          unsigned columns);

/// Shows long steps on standard error, on one line that is redrawn and goes away when the step is
/// done. Says nothing where standard error is no terminal. Any thread.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Borrows the bar.
  ProgressSink sink();
  /// Takes the line away, before something else is printed.
  void clear();

 private:
  void show(std::string_view what, std::uint64_t done, std::uint64_t total);
  /// REQUIRES: `mutex_` is held.
  void clear_line();

  const bool is_shown_;
  std::mutex mutex_;
  bool has_line_ = false;  ///< Guarded by `mutex_`, as the next two.
  std::string last_what_;
  std::chrono::steady_clock::time_point last_time_;
};

}  // namespace onnxlocal
