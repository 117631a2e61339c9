#include "runtime/page_pool.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace onnxlocal {

namespace {

/// What may stay warm: a prompt-lookup's rejected tokens, or the last page of a few slots.
constexpr std::size_t kWarmBytesMax = std::size_t{16} << 20;

}  // namespace

Result<PagePool> PagePool::create(std::size_t page_bytes, std::uint32_t pages) {
  CHECK(page_bytes > 0 && pages > 0);
  if (pages > static_cast<std::uint32_t>(std::numeric_limits<Page>::max()) ||
      page_bytes > std::numeric_limits<std::size_t>::max() / pages) {
    return std::unexpected(unavailable(
        fmt::format("{} pages of {} bytes are too many for keys and values", pages, page_bytes),
        "take fewer slots or a smaller context"));
  }
  TRY(LazyMemory memory, LazyMemory::reserve(page_bytes * pages));
  return PagePool(std::move(memory), page_bytes, pages);
}

PagePool::PagePool(LazyMemory memory, std::size_t page_bytes, std::uint32_t pages)
    : memory_(std::move(memory)),
      page_bytes_(page_bytes),
      warm_max_(std::max<std::size_t>(kWarmBytesMax / page_bytes, 1)),
      counts_(pages, 0),
      free_(pages) {
  for (std::uint32_t i = 0; i < pages; ++i) free_[i] = static_cast<Page>(pages - 1 - i);
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
  for (; warm_ > warm; --warm_) memory_.release(bytes(free_[free_.size() - warm_]), page_bytes_);
}

}  // namespace onnxlocal
