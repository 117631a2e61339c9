// The disk index's pins: which prefixes stay until a time, and how much of it all.
//
// A pin lies on the last block of a prefix. The blocks before it have something hanging on them, so
// that they cannot be evicted either.
#include <algorithm>
#include <utility>

#include "engine/disk_index.h"

namespace onnxlocal {

DiskIndex::Block* DiskIndex::parent_of(const Block& block) {
  return block.entry.parent == 0 ? nullptr : &blocks_.at(block.entry.parent);
}

/// Blocks that a pin on `block` would protect, and none does yet.
std::size_t DiskIndex::unpinned_up_to(const Block& block) {
  std::size_t count = 0;
  for (const Block* at = &block; at && at->pins == 0; at = parent_of(*at)) ++count;
  return count;
}

void DiskIndex::pin(std::uint64_t id, std::uint64_t until) {
  Block* block = &blocks_.at(id);
  if (until <= block->entry.pinned_until) return;
  unpin(*block);
  while (!pins_.empty() && pinned_blocks_ + unpinned_up_to(*block) > pinned_blocks_max_) {
    unpin(blocks_.at(pins_.begin()->second));
  }
  const std::size_t wanted = pinned_blocks_ + unpinned_up_to(*block);
  for (std::size_t excess = wanted - std::min(wanted, pinned_blocks_max_); excess > 0; --excess) {
    block = parent_of(*block);
    if (!block) return;
  }
  block->entry.pinned_until = until;
  block->is_touched = true;
  pins_.emplace(until, block->entry.id);
  update_evictable(*block, false);
  for (Block* at = block; at; at = parent_of(*at)) pinned_blocks_ += at->pins++ == 0 ? 1 : 0;
}

void DiskIndex::unpin(Block& block) {
  if (block.entry.pinned_until == 0) return;
  pins_.erase({std::exchange(block.entry.pinned_until, 0), block.entry.id});
  block.is_touched = true;
  for (Block* at = &block; at; at = parent_of(*at)) pinned_blocks_ -= --at->pins == 0 ? 1 : 0;
  update_evictable(block, true);
}

void DiskIndex::expire_pins(std::uint64_t now) {
  while (!pins_.empty() && pins_.begin()->first <= now) unpin(blocks_.at(pins_.begin()->second));
}

Result<void> DiskIndex::check_pins() const {
  const auto broken = [](const char* what) { return std::unexpected(internal_error(what)); };
  std::unordered_map<std::uint64_t, std::uint32_t> pins;
  std::size_t own = 0;
  for (const auto& [id, block] : blocks_) {
    const std::uint64_t until = block.entry.pinned_until;
    if (until == 0) continue;
    if (!pins_.contains({until, id})) return broken("disk index: a pin is not listed");
    ++own;
    for (std::uint64_t at = id; at != 0; at = blocks_.at(at).entry.parent) ++pins[at];
  }
  for (const auto& [id, block] : blocks_) {
    const auto count = pins.find(id);
    if (block.pins != (count == pins.end() ? 0 : count->second)) {
      return broken("disk index: a block miscounts its pins");
    }
  }
  if (own != pins_.size() || pinned_blocks_ != pins.size()) {
    return broken("disk index: pins are miscounted");
  }
  if (pinned_blocks_ > pinned_blocks_max_) return broken("disk index: too much is pinned");
  return {};
}

}  // namespace onnxlocal
