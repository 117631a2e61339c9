#include "runtime/paged_slots.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/environment.h"
#include "base/log.h"

namespace onnxlocal {

namespace {

constexpr std::size_t pages_for(std::size_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace

PagedSlots::PagedSlots(PagePool pool, std::uint32_t slots, std::uint32_t slot_tokens_max)
    : pool_(std::move(pool)), slot_tokens_max_(slot_tokens_max), slots_(slots) {
  for (Slot& slot : slots_) slot.pages.reserve(pages_for(slot_tokens_max));
}

/// A page that is shared and that the next token would be written to.
bool PagedSlots::ends_in_shared_page(const Slot& slot) const {
  return slot.length % kPageTokens != 0 && pool_.is_shared(slot.pages.back());
}

Result<PagePool::Page> PagedSlots::copy_of(PagePool::Page page) {
  TRY(const PagePool::Page copy, pool_.take());
  std::memcpy(pool_.bytes(copy), pool_.bytes(page), pool_.page_bytes());
  return copy;
}

Result<void> PagedSlots::reserve(SlotId id, std::size_t tokens) {
  Slot& slot = slots_[id.value];
  CHECK(tokens <= slot_tokens_max_ - slot.length);
  if (ends_in_shared_page(slot)) {
    TRY(const PagePool::Page copy, copy_of(slot.pages.back()));
    pool_.drop(slot.pages.back());
    slot.pages.back() = copy;
  }
  const std::size_t wanted = pages_for(slot.length + tokens);
  while (slot.pages.size() < wanted) {
    auto page = pool_.take();
    if (!page) {
      truncate(id, slot.length);
      return std::unexpected(std::move(page).error());
    }
    slot.pages.push_back(*page);
  }
  return {};
}

void PagedSlots::grow(SlotId id, std::size_t tokens) {
  Slot& slot = slots_[id.value];
  slot.length += static_cast<std::uint32_t>(tokens);
  CHECK(pages_for(slot.length) == slot.pages.size());
}

void PagedSlots::truncate(SlotId id, std::uint32_t tokens) {
  Slot& slot = slots_[id.value];
  CHECK(tokens <= slot.length);
  slot.length = tokens;
  while (slot.pages.size() > pages_for(tokens)) {
    pool_.drop(slot.pages.back());
    slot.pages.pop_back();
  }
}

Result<void> PagedSlots::copy_prefix(SlotId from_id, SlotId to_id, std::uint32_t tokens) {
  const Slot& from = slots_[from_id.value];
  Slot& to = slots_[to_id.value];
  CHECK(from_id != to_id && tokens <= from.length && to.length == 0);
  const std::size_t whole = tokens / kPageTokens;
  // The one step that may fail comes first.
  if (tokens % kPageTokens != 0) {
    TRY(const PagePool::Page last, copy_of(from.pages[whole]));
    to.pages.assign(from.pages.begin(), from.pages.begin() + static_cast<std::ptrdiff_t>(whole));
    to.pages.push_back(last);
  } else {
    to.pages.assign(from.pages.begin(), from.pages.begin() + static_cast<std::ptrdiff_t>(whole));
  }
  for (std::size_t i = 0; i < whole; ++i) pool_.share(to.pages[i]);
  to.length = tokens;
  return {};
}

void PagedSlots::export_blocks(SlotId id, std::uint32_t first_block,
                               std::span<std::byte> bytes) const {
  const Slot& slot = slots_[id.value];
  const std::size_t size = pool_.page_bytes();
  const std::size_t count = bytes.size() / size;
  CHECK(bytes.size() % size == 0 && (first_block + count) * kPageTokens <= slot.length);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(bytes.data() + i * size, pool_.bytes(slot.pages[first_block + i]), size);
  }
}

Result<void> PagedSlots::import_blocks(SlotId id, std::span<const std::byte> bytes) {
  const Slot& slot = slots_[id.value];
  const std::size_t size = pool_.page_bytes();
  const std::size_t count = bytes.size() / size;
  CHECK(bytes.size() % size == 0 && slot.length % kPageTokens == 0);
  TRY_VOID(reserve(id, count * kPageTokens));
  for (std::size_t i = 0; i < count; ++i) {
    const PagePool::Page page = slot.pages[slot.length / kPageTokens + i];
    std::memcpy(pool_.bytes(page), bytes.data() + i * size, size);
  }
  grow(id, count * kPageTokens);
  return {};
}

std::uint64_t PagedSlots::free_tokens() const {
  // A slot that ends in a shared page takes one more before it can append.
  const auto copies = static_cast<std::uint64_t>(
      std::ranges::count_if(slots_, [this](const Slot& s) { return ends_in_shared_page(s); }));
  const std::uint64_t free = pool_.free_pages();
  return (free > copies ? free - copies : 0) * kPageTokens;
}

Result<PagePool> make_page_pool(const PageGeometry& geometry, std::uint64_t kv_bytes_max,
                                DecoderSizes& sizes) {
  sizes.chunk_tokens_max = std::max(sizes.chunk_tokens_max, sizes.slots);
  const std::uint64_t budget = kv_bytes_max > 0 ? kv_bytes_max : usable_memory_bytes() / 2;
  const std::uint64_t affordable = budget / geometry.page_bytes();
  const std::uint64_t wanted = std::uint64_t{sizes.slots} * pages_for(sizes.slot_tokens_max);
  const std::uint64_t pages = std::min(affordable, wanted);
  if (pages == 0) {
    return std::unexpected(
        unavailable(fmt::format("{} bytes have no room for {} tokens' keys and values ({} bytes)",
                                budget, kPageTokens, geometry.page_bytes()),
                    "give keys and values more memory"));
  }
  const std::uint64_t tokens = pages * kPageTokens;
  if (tokens < sizes.slot_tokens_max) {
    LOG_WARNING("the context window is {} tokens, and not {}: keys and values have {} MiB", tokens,
                sizes.slot_tokens_max, budget >> 20);
    sizes.slot_tokens_max = static_cast<std::uint32_t>(tokens);
  }
  return PagePool::create(geometry.page_bytes(), static_cast<std::uint32_t>(pages));
}

}  // namespace onnxlocal
