#include "base/memory.h"

#include <sys/mman.h>

#include <cstdint>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <utility>

#include <fmt/format.h>

namespace onnxlocal {

Result<LazyMemory> LazyMemory::reserve(std::size_t bytes) {
  void* const begin = bytes == 0 ? MAP_FAILED
                                 : ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) {
    return std::unexpected(unavailable(fmt::format("no address space for {} MiB", bytes >> 20)));
  }
  return LazyMemory({static_cast<std::byte*>(begin), bytes});
}

LazyMemory::~LazyMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

LazyMemory::LazyMemory(LazyMemory&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

LazyMemory& LazyMemory::operator=(LazyMemory&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

void LazyMemory::release(std::byte* from, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(from);
  const std::uintptr_t first = (begin + kPageBytes - 1) / kPageBytes * kPageBytes;
  const std::uintptr_t last = (begin + bytes) / kPageBytes * kPageBytes;
  if (last > first) ::madvise(from + (first - begin), last - first, MADV_DONTNEED);
}

void trim_heap() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

}  // namespace onnxlocal
