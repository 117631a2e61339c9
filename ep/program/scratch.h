#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace onnxlocal::ep {

/// Memory that grows and is kept: 64-byte aligned, what was in it is lost when it grows.
class ScratchMemory {
 public:
  /// At least `bytes`; nullptr where there is no memory.
  std::byte* ensure(std::size_t bytes) {
    const std::size_t wanted = bytes / sizeof(Line) + 1;
    if (wanted > lines_) {
      memory_.reset();
      memory_.reset(new (std::nothrow) Line[wanted]);
      lines_ = memory_ ? wanted : 0;
    }
    return memory_ ? memory_[0].bytes : nullptr;
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::unique_ptr<Line[]> memory_;
  std::size_t lines_ = 0;
};

}  // namespace onnxlocal::ep
