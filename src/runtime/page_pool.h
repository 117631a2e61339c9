#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/memory.h"
#include "base/result.h"

namespace onnxlocal {

/// Pages of one size, each held by any number of owners. The memory takes no room before it is
/// written to, and a page that nobody holds gives its room back. Engine thread only.
///
/// Invariants: a page is in `free_` if and only if its count is 0. The last `warm_` of the free
/// pages may still take room, for what one step gives up the next one often wants; none does once
/// all pages are free.
class PagePool {
 public:
  using Page = std::int32_t;

  /// Errors: unavailable (no address space).
  static Result<PagePool> create(std::size_t page_bytes, std::uint32_t pages);

  std::size_t page_bytes() const { return page_bytes_; }
  std::uint32_t pages() const { return static_cast<std::uint32_t>(counts_.size()); }
  std::uint32_t free_pages() const { return static_cast<std::uint32_t>(free_.size()); }
  /// All pages, one after the other.
  std::byte* memory() const { return memory_.begin(); }
  std::byte* bytes(Page page) const {
    return memory_.begin() + static_cast<std::size_t>(page) * page_bytes_;
  }

  /// A page with one owner, and bytes of no meaning. Errors: overloaded (none is free).
  Result<Page> take();
  /// One owner more.
  void share(Page page);
  bool is_shared(Page page) const { return counts_[static_cast<std::size_t>(page)] > 1; }
  /// One owner less; the last one frees it.
  void drop(Page page);

 private:
  PagePool(LazyMemory memory, std::size_t page_bytes, std::uint32_t pages);
  void cool_down_to(std::size_t warm);

  LazyMemory memory_;
  std::size_t page_bytes_;
  std::size_t warm_max_;
  std::vector<std::uint32_t> counts_;  ///< Owners of each page.
  std::vector<Page> free_;             ///< Taken from the end: what was freed last.
  std::size_t warm_ = 0;
};

}  // namespace onnxlocal
