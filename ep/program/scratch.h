#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace onnxlocal::ep {

/// Memory that grows and is kept: 64-byte aligned, what was in it is lost when it grows.
class ScratchMemory {
 public:
  /// At least `bytes`. Throws std::bad_alloc where there is no memory.
  std::byte* ensure(std::size_t bytes) {
    if (bytes <= size_) return memory_.get();
    memory_.reset();
    size_ = 0;
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
    if (!memory_) throw std::bad_alloc();
    size_ = rounded;
    return memory_.get();
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace onnxlocal::ep
