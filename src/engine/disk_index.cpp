#include "engine/disk_index.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/hash.h"

namespace onnxlocal {

std::uint64_t DiskIndex::key_of(std::uint64_t parent, const DiskKey& scope,
                                std::span<const TokenId> tokens) const {
  return hash_bytes(std::as_bytes(tokens), parent == 0 ? hash_bytes(scope, 0) : parent);
}

DiskIndex::Block* DiskIndex::find_child(std::uint64_t parent, const DiskKey& scope,
                                        std::span<const TokenId> tokens) {
  const auto [begin, end] = children_.equal_range(key_of(parent, scope, tokens));
  for (auto it = begin; it != end; ++it) {
    Block& block = blocks_.at(it->second);
    const SegmentEntry& entry = block.entry;
    if (entry.parent == parent && entry.scope == scope && std::ranges::equal(entry.tokens, tokens))
      return &block;
  }
  return nullptr;
}

/// Only a stored block that nothing hangs on and nobody pinned may be evicted.
void DiskIndex::update_evictable(const Block& block, bool may_be) {
  if (may_be && block.place && block.children == 0 && block.pins == 0) {
    evictable_.emplace(block.use, block.entry.id);
  } else {
    evictable_.erase(block.use);
  }
}

DiskIndex::Block& DiskIndex::insert(SegmentEntry entry, std::optional<DiskPlace> place) {
  const std::uint64_t id = entry.id;
  children_.emplace(key_of(entry.parent, entry.scope, entry.tokens), id);
  if (entry.parent != 0) {
    Block& parent = blocks_.at(entry.parent);
    ++parent.children;
    update_evictable(parent, false);
  }
  Block& block = blocks_[id];
  block = {.entry = std::move(entry), .place = place, .use = ++clock_};
  stored_ += place ? 1 : 0;
  update_evictable(block, true);
  return block;
}

std::vector<DiskPlace> DiskIndex::load(std::vector<std::pair<DiskPlace, SegmentEntry>> entries,
                                       std::uint64_t now) {
  CHECK(blocks_.empty());
  std::vector<DiskPlace> dropped;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> pins;  // Block, end.
  // By parent, and each parent's in the order of use; so that what is inserted later was used later
  // as far as their depth allows.
  std::unordered_multimap<std::uint64_t, std::size_t> by_parent;
  std::ranges::sort(entries, {},
                    [](const auto& item) { return std::pair(item.second.last_use, item.first); });
  for (std::size_t i = 0; i < entries.size(); ++i) by_parent.emplace(entries[i].second.parent, i);
  std::vector<bool> is_taken(entries.size());
  std::vector<std::uint64_t> parents = {0};
  while (!parents.empty()) {
    const std::uint64_t parent = parents.back();
    parents.pop_back();
    const auto [begin, end] = by_parent.equal_range(parent);
    for (auto it = begin; it != end; ++it) {
      auto& [place, entry] = entries[it->second];
      const bool fits = entry.tokens.size() == block_tokens_ && entry.id != 0 &&
                        !blocks_.contains(entry.id) &&
                        (parent == 0 || blocks_.at(parent).entry.scope == entry.scope) &&
                        !find_child(parent, entry.scope, entry.tokens);
      if (!fits) continue;
      is_taken[it->second] = true;
      parents.push_back(entry.id);
      const std::uint64_t pinned_until = std::exchange(entry.pinned_until, 0);
      if (pinned_until > now) pins.emplace_back(entry.id, pinned_until);
      insert(entry, place);
    }
  }
  // Now that all are there: the order of eviction is the order of use.
  evictable_.clear();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!is_taken[i]) {
      dropped.push_back(entries[i].first);
      continue;
    }
    Block& block = blocks_.at(entries[i].second.id);
    block.use = ++clock_;
    update_evictable(block, true);
  }
  for (const auto& [id, until] : pins) pin(id, now + std::min(until - now, kPinSecondsMax));
  return dropped;
}

void DiskIndex::use(Block& block, std::uint64_t now) {
  update_evictable(block, false);
  block.use = ++clock_;
  block.is_touched = block.is_touched || block.entry.last_use < now;
  block.entry.last_use = std::max(block.entry.last_use, now);
  update_evictable(block, true);
}

std::vector<std::uint64_t> DiskIndex::find(const DiskKey& scope, std::span<const TokenId> tokens,
                                           std::uint64_t now) {
  std::vector<std::uint64_t> ids;
  std::uint64_t parent = 0;
  for (; tokens.size() >= block_tokens_; tokens = tokens.subspan(block_tokens_)) {
    Block* block = find_child(parent, scope, tokens.first(block_tokens_));
    if (!block) break;
    use(*block, now);
    parent = block->entry.id;
    ids.push_back(parent);
  }
  return ids;
}

const DiskIndex::Block* DiskIndex::get(std::uint64_t id) const {
  const auto found = blocks_.find(id);
  return found == blocks_.end() ? nullptr : &found->second;
}

std::uint64_t DiskIndex::add(std::uint64_t parent, const DiskKey& scope,
                             std::span<const TokenId> tokens, std::uint64_t now,
                             std::uint64_t new_id) {
  CHECK(tokens.size() == block_tokens_ && (parent == 0 || blocks_.contains(parent)));
  // Random ids collide once in a blue moon, and 0 means none.
  while (new_id == 0 || blocks_.contains(new_id)) ++new_id;
  insert({.id = new_id,
          .parent = parent,
          .scope = scope,
          .last_use = now,
          .tokens = {tokens.begin(), tokens.end()}},
         std::nullopt);
  return new_id;
}

void DiskIndex::set_stored(std::uint64_t id, DiskPlace place, std::uint64_t checksum) {
  Block& block = blocks_.at(id);
  CHECK(!block.place);
  block.place = place;
  block.entry.checksum = checksum;
  ++stored_;
  update_evictable(block, true);
}

void DiskIndex::erase(std::uint64_t id) {
  Block& block = blocks_.at(id);
  unpin(block);
  update_evictable(block, false);
  const auto key = key_of(block.entry.parent, block.entry.scope, block.entry.tokens);
  const auto [begin, end] = children_.equal_range(key);
  const auto at = std::find_if(begin, end, [id](const auto& item) { return item.second == id; });
  CHECK(at != end);
  children_.erase(at);
  if (const auto parent = blocks_.find(block.entry.parent); parent != blocks_.end()) {
    --parent->second.children;
    update_evictable(parent->second, true);
  }
  stored_ -= block.place ? 1 : 0;
  blocks_.erase(id);
}

std::vector<DiskPlace> DiskIndex::remove(std::uint64_t id) {
  std::vector<std::uint64_t> doomed;
  if (blocks_.contains(id)) doomed.push_back(id);
  if (!doomed.empty() && blocks_.at(id).children > 0) {  // Rare: a damaged block.
    std::unordered_multimap<std::uint64_t, std::uint64_t> by_parent;
    for (const auto& [child, block] : blocks_) by_parent.emplace(block.entry.parent, child);
    for (std::size_t i = 0; i < doomed.size(); ++i) {
      const auto [begin, end] = by_parent.equal_range(doomed[i]);
      for (auto it = begin; it != end; ++it) doomed.push_back(it->second);
    }
  }
  if (doomed.empty()) return {};
  const std::uint64_t parent = blocks_.at(id).entry.parent;
  std::uint64_t pinned_until = 0;
  std::vector<DiskPlace> places;
  for (auto it = doomed.rbegin(); it != doomed.rend(); ++it) {
    const Block& block = blocks_.at(*it);
    pinned_until = std::max(pinned_until, block.entry.pinned_until);
    if (block.place) places.push_back(*block.place);
    erase(*it);
  }
  if (pinned_until > 0 && parent != 0) pin(parent, pinned_until);
  return places;
}

std::optional<std::uint64_t> DiskIndex::weakest() const {
  if (evictable_.empty()) return std::nullopt;
  return evictable_.begin()->second;
}

std::vector<std::pair<DiskPlace, SegmentEntry>> DiskIndex::take_touched() {
  std::vector<std::pair<DiskPlace, SegmentEntry>> touched;
  for (auto& [id, block] : blocks_) {
    if (block.is_touched && block.place) touched.emplace_back(*block.place, block.entry);
    block.is_touched = false;
  }
  return touched;
}

Result<void> DiskIndex::check_invariants() const {
  const auto broken = [](const char* what) { return std::unexpected(internal_error(what)); };
  std::unordered_map<std::uint64_t, std::uint32_t> children;
  std::set<DiskPlace> places;
  std::size_t evictable = 0;
  for (const auto& [id, block] : blocks_) {
    const std::uint64_t parent = block.entry.parent;
    if (parent != 0) {
      const auto found = blocks_.find(parent);
      if (found == blocks_.end()) return broken("disk index: a block hangs on nothing");
      if (found->second.entry.scope != block.entry.scope) return broken("disk index: scopes mix");
      ++children[parent];
    }
    if (block.place && !places.insert(*block.place).second) {
      return broken("disk index: two blocks in one place");
    }
    const bool may_go = block.place && block.children == 0 && block.pins == 0;
    const auto listed = evictable_.find(block.use);
    if (may_go != (listed != evictable_.end() && listed->second == id)) {
      return broken("disk index: the list of evictable blocks is wrong");
    }
    evictable += may_go ? 1 : 0;
  }
  for (const auto& [id, block] : blocks_) {
    const auto count = children.find(id);
    if (block.children != (count == children.end() ? 0 : count->second)) {
      return broken("disk index: a block miscounts what hangs on it");
    }
  }
  if (places.size() != stored_ || evictable != evictable_.size() ||
      children_.size() != blocks_.size()) {
    return broken("disk index: blocks are miscounted");
  }
  return check_pins();
}

}  // namespace onnxlocal
