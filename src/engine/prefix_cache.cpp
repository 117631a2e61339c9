#include "engine/prefix_cache.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/prefix_node.h"

namespace onnxlocal {

PrefixCache::PrefixCache(Options options) : options_(std::move(options)) {}
PrefixCache::~PrefixCache() = default;

void PrefixCache::Path::reset() {
  if (tail_) cache_->release(std::exchange(tail_, nullptr));
  blocks_ = 0;
}

PrefixCache::Path PrefixCache::open(std::string_view scope) {
  auto found = roots_.find(scope);
  if (found == roots_.end()) {
    auto root = std::make_unique<Node>();
    root->serial = next_serial_++;
    root->scope = scope;
    found = roots_.emplace(std::string(scope), std::move(root)).first;
  }
  hold(found->second.get());
  return {this, found->second.get()};
}

bool PrefixCache::follow(Path& path, std::span<const TokenId> tokens) {
  CHECK(path.tail_ && tokens.size() == options_.block_tokens);
  Node* next = find(*path.tail_, tokens);
  if (!next) return false;
  hold(next);
  release(std::exchange(path.tail_, next));
  ++path.blocks_;
  return true;
}

std::span<const std::byte> PrefixCache::bytes(const Path& path) const {
  CHECK(path.blocks_ > 0);
  return {path.tail_->bytes.get(), options_.block_bytes};
}

std::vector<CacheBlock> PrefixCache::blocks_of(const Path& path, std::uint32_t first) const {
  std::vector<CacheBlock> blocks;
  for (const Node* node = path.tail_; node && node->depth > first; node = node->parent) {
    blocks.push_back(node->bytes);
  }
  std::ranges::reverse(blocks);
  return blocks;
}

bool PrefixCache::add(Path& path, std::span<const TokenId> tokens, const Filler& fill,
                      CacheRank newcomer) {
  if (!make_room(newcomer)) return false;
  // Out of memory is a reason not to keep a block, not one to fail a request.
  std::shared_ptr<std::byte[]> bytes;
  try {
    bytes.reset(new (std::nothrow) std::byte[options_.block_bytes]);
  } catch (const std::bad_alloc&) {  // Of the counter beside the bytes.
    return false;
  }
  if (!bytes) return false;
  if (!fill({bytes.get(), options_.block_bytes})) return false;
  insert(path, tokens, std::move(bytes));
  return true;
}

bool PrefixCache::add(Path& path, std::span<const TokenId> tokens, CacheBlock bytes,
                      CacheRank newcomer) {
  if (!make_room(newcomer)) return false;
  insert(path, tokens, std::move(bytes));
  return true;
}

void PrefixCache::insert(Path& path, std::span<const TokenId> tokens, CacheBlock bytes) {
  CHECK(path.tail_ && tokens.size() == options_.block_tokens);
  DCHECK(!find(*path.tail_, tokens));
  auto node = std::make_unique<Node>();
  node->bytes = std::move(bytes);
  node->parent = path.tail_;
  node->depth = path.tail_->depth + 1;
  node->serial = next_serial_++;
  node->tokens.assign(tokens.begin(), tokens.end());
  ++path.tail_->children;
  Node* added = node.get();
  nodes_.emplace(key_of(*path.tail_, tokens), std::move(node));
  hold(added);
  release(std::exchange(path.tail_, added));
  ++path.blocks_;
}

std::uint64_t PrefixCache::key_of(const Node& parent, std::span<const TokenId> tokens) const {
  return hash_bytes(std::as_bytes(tokens), parent.serial);
}

PrefixCache::Node* PrefixCache::find(const Node& parent, std::span<const TokenId> tokens) {
  const auto [begin, end] = nodes_.equal_range(key_of(parent, tokens));
  for (auto it = begin; it != end; ++it) {
    Node& node = *it->second;
    if (node.parent == &parent && std::ranges::equal(node.tokens, tokens)) return &node;
  }
  return nullptr;
}

bool PrefixCache::can_hold_blocks() const {
  return options_.block_bytes > 0 && options_.block_bytes <= options_.bytes_max;
}

bool PrefixCache::make_room(CacheRank newcomer) {
  if (!can_hold_blocks()) return false;
  expire_pins();
  while (bytes_in_use() > options_.bytes_max - options_.block_bytes) {
    const auto last = evictable_.begin() + static_cast<std::ptrdiff_t>(newcomer) + 1;
    const auto weakest =
        std::find_if(evictable_.begin(), last, [](const auto& nodes) { return !nodes.empty(); });
    if (weakest == last) return false;
    evict(weakest->begin()->second);
  }
  return true;
}

void PrefixCache::evict(Node* leaf) {
  remove_evictable(leaf);
  hand_marks_up(leaf);
  Node* parent = leaf->parent;
  const auto [begin, end] = nodes_.equal_range(key_of(*parent, leaf->tokens));
  const auto entry =
      std::find_if(begin, end, [&](const auto& e) { return e.second.get() == leaf; });
  CHECK(entry != end);
  nodes_.erase(entry);
  --parent->children;
  ++evictions_;
  // The parent goes next: it is as old as what hung on it.
  update_evictable(parent);
}

void PrefixCache::hold(Node* node) {
  ++node->holders;
  update_evictable(node);
}

void PrefixCache::release(Node* node) {
  CHECK(node->holders > 0);
  --node->holders;
  remove_evictable(node);
  node->last_use = ++clock_;
  update_evictable(node);
}

void PrefixCache::remove_evictable(Node* node) {
  if (!node->is_evictable) return;
  evictable_[static_cast<std::size_t>(node->rank)].erase(node->last_use);
  node->is_evictable = false;
}

/// A root that nobody needs goes at once; it holds nothing.
void PrefixCache::update_evictable(Node* node) {
  const bool is_unused = node->holders == 0 && node->children == 0;
  if (!node->parent) {
    if (is_unused) roots_.erase(roots_.find(node->scope));
    return;
  }
  if (!is_unused) return remove_evictable(node);
  if (node->is_evictable) return;
  evictable_[static_cast<std::size_t>(node->rank)].emplace(node->last_use, node);
  node->is_evictable = true;
}

Result<void> PrefixCache::check_invariants() const {
  const auto broken = [](std::string_view what) {
    return std::unexpected(internal_error(fmt::format("prefix cache: {}", what)));
  };
  if (bytes_in_use() > options_.bytes_max) {
    return broken(fmt::format("{} bytes in use, {} allowed", bytes_in_use(), options_.bytes_max));
  }
  std::unordered_map<const Node*, std::uint32_t> children;
  std::size_t evictable = 0;
  for (const auto& [key, node] : nodes_) {
    ++children[node->parent];
    if (node->tokens.size() != options_.block_tokens) return broken("a block of another size");
    if (node->depth != node->parent->depth + 1) return broken("a block of a wrong depth");
    if (node->is_evictable != (node->holders == 0 && node->children == 0)) {
      return broken("a block that is in use can be evicted, or one that is not cannot");
    }
    evictable += node->is_evictable ? 1 : 0;
  }
  std::size_t listed = 0;
  for (const auto& nodes : evictable_) listed += nodes.size();
  if (evictable != listed) return broken("the list of evictable blocks is wrong");
  for (const auto& [key, node] : nodes_) {
    const auto count = children.find(node.get());
    if (node->children != (count == children.end() ? 0 : count->second)) {
      return broken("a block miscounts what hangs on it");
    }
  }
  const auto wrong_marks = check_marks();
  if (!wrong_marks.empty()) return broken(wrong_marks.front());
  return {};
}

}  // namespace onnxlocal
