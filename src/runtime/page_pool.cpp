#include "runtime/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace onnxlocal {

namespace {

/// What may stay warm: a prompt-lookup's rejected tokens, or the last page of a few slots.
constexpr std::size_t kWarmBytesMax = std::size_t{16} << 20;
constexpr std::size_t kSystemPageBytes = 4096;

}  // namespace

Result<PagePool> PagePool::create(std::size_t page_bytes, std::uint32_t pages) {
  CHECK(page_bytes > 0 && pages > 0);
  const auto no_room = [&](const char* why) {
    return std::unexpected(
        unavailable(fmt::format("no address space for {} pages of {} bytes of keys and values: {}",
                                pages, page_bytes, why),
                    "take fewer slots or a smaller context"));
  };
  if (pages > static_cast<std::uint32_t>(std::numeric_limits<Page>::max()) ||
      page_bytes > std::numeric_limits<std::size_t>::max() / pages) {
    return no_room("too many");
  }
  void* const base = mmap(nullptr, page_bytes * pages, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return no_room("the system refuses it");
  return PagePool(static_cast<std::byte*>(base), page_bytes, pages);
}

PagePool::PagePool(std::byte* base, std::size_t page_bytes, std::uint32_t pages)
    : base_(base),
      page_bytes_(page_bytes),
      warm_max_(std::max<std::size_t>(kWarmBytesMax / page_bytes, 1)),
      counts_(pages, 0),
      free_(pages) {
  for (std::uint32_t i = 0; i < pages; ++i) free_[i] = static_cast<Page>(pages - 1 - i);
}

PagePool::~PagePool() { unmap(); }

PagePool::PagePool(PagePool&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      page_bytes_(other.page_bytes_),
      warm_max_(other.warm_max_),
      counts_(std::move(other.counts_)),
      free_(std::move(other.free_)),
      warm_(std::exchange(other.warm_, 0)) {}

PagePool& PagePool::operator=(PagePool&& other) noexcept {
  if (this != &other) {
    unmap();
    base_ = std::exchange(other.base_, nullptr);
    page_bytes_ = other.page_bytes_;
    warm_max_ = other.warm_max_;
    counts_ = std::move(other.counts_);
    free_ = std::move(other.free_);
    warm_ = std::exchange(other.warm_, 0);
  }
  return *this;
}

void PagePool::unmap() {
  if (base_ != nullptr) munmap(base_, page_bytes_ * counts_.size());
}

Result<PagePool::Page> PagePool::take() {
  if (free_.empty()) {
    return std::unexpected(
        overloaded(fmt::format("all {} pages of keys and values are in use", counts_.size()),
                   "give keys and values more memory, or run fewer requests at once"));
  }
  const Page page = free_.back();
  free_.pop_back();
  if (warm_ > 0) --warm_;
  counts_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void PagePool::share(Page page) {
  CHECK(counts_[static_cast<std::size_t>(page)] > 0);
  ++counts_[static_cast<std::size_t>(page)];
}

void PagePool::drop(Page page) {
  std::uint32_t& count = counts_[static_cast<std::size_t>(page)];
  CHECK(count > 0);
  if (--count > 0) return;
  free_.push_back(page);
  ++warm_;
  cool_down_to(free_.size() == counts_.size() ? 0 : warm_max_);
}

void PagePool::cool_down_to(std::size_t warm) {
  for (; warm_ > warm; --warm_) {
    // System pages that hold a neighbour's bytes too stay.
    const auto begin = static_cast<std::size_t>(free_[free_.size() - warm_]) * page_bytes_;
    const std::size_t first = (begin + kSystemPageBytes - 1) / kSystemPageBytes * kSystemPageBytes;
    const std::size_t last = (begin + page_bytes_) / kSystemPageBytes * kSystemPageBytes;
    if (last > first) madvise(base_ + first, last - first, MADV_DONTNEED);
  }
}

}  // namespace onnxlocal
