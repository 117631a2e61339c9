#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "program/instruction.h"

namespace onnxlocal::ep {

std::string_view to_string(Op op);

/// Calls and time of each kind of instruction. Written as lines of JSON to a file, appended, when
/// it is destroyed. Without a file it reads no clock.
class Profile {
 public:
  explicit Profile(std::filesystem::path file) : file_(std::move(file)) {}
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  template <class Body>
  void measure(Op op, Body body) {
    if (file_.empty()) {
      body();
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    body();
    auto& entry = entries_[static_cast<std::size_t>(op)];
    entry.nanoseconds += std::chrono::steady_clock::now() - start;
    ++entry.calls;
  }
  /// `rows`: of the run.
  void count_run(std::size_t rows) {
    ++runs_;
    rows_ += rows;
  }

 private:
  struct Entry {
    std::uint64_t calls = 0;
    std::chrono::nanoseconds nanoseconds{0};
  };
  std::filesystem::path file_;
  std::array<Entry, kOps> entries_;
  std::uint64_t runs_ = 0;
  std::uint64_t rows_ = 0;
};

}  // namespace onnxlocal::ep
