#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "runtime/decoder.h"
#include "runtime/decoder_sizes.h"
#include "runtime/page_pool.h"
#include "runtime/paged_format.h"

namespace onnxlocal {

/// Which pages hold the keys and values of each slot. Engine thread only.
///
/// Invariants: a slot has ceil(length / kPageTokens) pages, each held once by it. Pages that
/// several slots hold are whole to all but one of them, and nobody writes to them: a slot that
/// appends into one gets a copy first.
class PagedSlots {
 public:
  PagedSlots(PagePool pool, std::uint32_t slots, std::uint32_t slot_tokens_max);

  PagePool& pool() { return pool_; }
  const PagePool& pool() const { return pool_; }
  std::uint32_t length(SlotId slot) const { return slots_[slot.value].length; }
  /// The slot's pages: entry i is of tokens [32 * i, 32 * i + 32).
  std::span<const PagePool::Page> pages(SlotId slot) const { return slots_[slot.value].pages; }

  /// Makes room to write `tokens` behind what the slot holds; `pages` then shows it.
  /// Errors: overloaded (no page is free; the slot is as before).
  Result<void> reserve(SlotId slot, std::size_t tokens);
  /// The tokens were written.
  ///   REQUIRES: they were reserved.
  void grow(SlotId slot, std::size_t tokens);
  /// Keeps the first `tokens` of the slot, and no page behind them.
  void truncate(SlotId slot, std::uint32_t tokens);

  /// Decoder's contract.
  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens);
  void export_blocks(SlotId slot, std::uint32_t first_block, std::span<std::byte> bytes) const;
  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes);
  std::uint64_t free_tokens() const;

 private:
  struct Slot {
    std::vector<PagePool::Page> pages;
    std::uint32_t length = 0;
  };
  bool ends_in_shared_page(const Slot& slot) const;
  Result<PagePool::Page> copy_of(PagePool::Page page);

  PagePool pool_;
  std::uint32_t slot_tokens_max_;
  std::vector<Slot> slots_;
};

/// Pages for all slots, full, or as many as `kv_bytes_max` (0: half of the memory that may be used)
/// has room for; a slot then holds at most all of them. `sizes` are made to agree: a chunk has room
/// for a token of each slot. Errors: unavailable (no room for one page, or no address space).
Result<PagePool> make_page_pool(const PageGeometry& geometry, std::uint64_t kv_bytes_max,
                                DecoderSizes& sizes);

}  // namespace onnxlocal
