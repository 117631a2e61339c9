#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "cli/terminal.h"

namespace onnxlocal {

namespace {

constexpr std::chrono::milliseconds kRedrawInterval{100};
constexpr std::size_t kBarColumnsMax = 30;
constexpr std::size_t kBarColumnsMin = 5;
/// Brackets, spaces and "100 %".
constexpr std::size_t kOtherColumns = 12;

}  // namespace

std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total,
                          unsigned columns) {
  // The last column stays free: some terminals begin a new line after it.
  const std::size_t room = columns > 1 ? columns - 1 : 1;
  std::string label(what.substr(0, room));
  if (total == 0) return label;
  const std::uint64_t shown = std::min(done, total);
  const double share = static_cast<double>(shown) / static_cast<double>(total);
  const auto percent = static_cast<int>(share * 100);
  if (room < label.size() + kOtherColumns + kBarColumnsMin) {
    return fmt::format("{} {} %", label, percent).substr(0, room);
  }
  const std::size_t bar = std::min(kBarColumnsMax, room - label.size() - kOtherColumns);
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(bar));
  return fmt::format("{}  [{}{}]  {:3} %", label, std::string(filled, '#'),
                     std::string(bar - filled, '-'), percent);
}

ProgressBar::ProgressBar() : is_shown_(is_terminal(stderr)) {}

ProgressBar::~ProgressBar() { clear(); }

ProgressSink ProgressBar::sink() {
  return [this](std::string_view what, std::uint64_t done, std::uint64_t total) {
    show(what, done, total);
  };
}

void ProgressBar::show(std::string_view what, std::uint64_t done, std::uint64_t total) {
  if (!is_shown_) return;
  const std::scoped_lock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (total > 0 && done >= total) return clear_line();
  if (what == last_what_ && now - last_time_ < kRedrawInterval) return;
  last_what_ = what;
  last_time_ = now;
  has_line_ = true;
  fmt::print(stderr, "\r\x1b[K{}", progress_line(what, done, total, terminal_columns(stderr)));
  std::fflush(stderr);
}

void ProgressBar::clear() {
  const std::scoped_lock lock(mutex_);
  clear_line();
}

void ProgressBar::clear_line() {
  if (!has_line_) return;
  has_line_ = false;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
}

}  // namespace onnxlocal
