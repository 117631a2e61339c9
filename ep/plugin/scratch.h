#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace onnxlocal::ep {

/// Memory that begins at a cache line and only grows.
class AlignedMemory {
 public:
  /// At least `bytes`; what it held is lost where it grows.
  std::span<std::byte> take(std::size_t bytes) {
    if (bytes > lines_.size() * sizeof(Line)) {
      lines_.clear();
      lines_.resize((bytes + sizeof(Line) - 1) / sizeof(Line));
    }
    return std::as_writable_bytes(std::span(lines_)).first(bytes);
  }
  std::span<float> take_floats(std::size_t count) {
    return {reinterpret_cast<float*>(take(count * sizeof(float)).data()), count};
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> lines_;
};

/// What one run of one kernel computes in.
struct Scratch {
  AlignedMemory quantized;
  AlignedMemory query;
  AlignedMemory key;
  AlignedMemory value;
  AlignedMemory output;
  std::vector<std::byte> attention;
};

/// Scratch of the kernels of a session. Any thread: each run takes one and gives it back.
class ScratchPool {
 public:
  /// A scratch for as long as this lives.
  class Loan {
   public:
    Loan(ScratchPool& pool, std::unique_ptr<Scratch> scratch)
        : pool_(pool), scratch_(std::move(scratch)) {}
    ~Loan() { pool_.give_back(std::move(scratch_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Scratch& operator*() { return *scratch_; }
    Scratch* operator->() { return scratch_.get(); }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  Loan take() {
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) return {*this, std::make_unique<Scratch>()};
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return {*this, std::move(scratch)};
  }

 private:
  void give_back(std::unique_ptr<Scratch> scratch) noexcept {
    try {
      const std::scoped_lock lock(mutex_);
      free_.push_back(std::move(scratch));
    } catch (...) {
      scratch.reset();  // No memory for the list: the scratch is freed instead.
    }
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace onnxlocal::ep
