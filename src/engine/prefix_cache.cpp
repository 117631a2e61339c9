#include "engine/prefix_cache.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "base/check.h"
#include "base/hash.h"

namespace onnxlocal {

struct PrefixCache::Node {
  Node* parent = nullptr;  ///< Null for a root.
  std::uint64_t serial = 0;
  std::string scope;            ///< Roots only.
  std::vector<TokenId> tokens;  ///< Of this block; empty for a root.
  std::unique_ptr<std::byte[]> bytes;
  std::uint32_t children = 0;
  std::uint32_t pins = 0;  ///< Paths that end here.
  std::uint64_t last_use = 0;
  bool is_evictable = false;  ///< In `evictable_` at `last_use`.
};

PrefixCache::PrefixCache(Options options) : options_(options) {}
PrefixCache::~PrefixCache() = default;

void PrefixCache::Path::reset() {
  if (tail_) cache_->unpin(std::exchange(tail_, nullptr));
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
  pin(found->second.get());
  return {this, found->second.get()};
}

bool PrefixCache::follow(Path& path, std::span<const TokenId> tokens) {
  CHECK(path.tail_ && tokens.size() == options_.block_tokens);
  Node* next = find(*path.tail_, tokens);
  if (!next) return false;
  pin(next);
  unpin(std::exchange(path.tail_, next));
  ++path.blocks_;
  return true;
}

std::span<const std::byte> PrefixCache::bytes(const Path& path) const {
  CHECK(path.blocks_ > 0);
  return {path.tail_->bytes.get(), options_.block_bytes};
}

bool PrefixCache::add(Path& path, std::span<const TokenId> tokens, const Filler& fill) {
  CHECK(path.tail_ && tokens.size() == options_.block_tokens);
  DCHECK(!find(*path.tail_, tokens));
  if (!make_room()) return false;
  auto node = std::make_unique<Node>();
  // Out of memory is a reason not to keep a block, not one to fail a request.
  node->bytes.reset(new (std::nothrow) std::byte[options_.block_bytes]);
  if (!node->bytes) return false;
  if (!fill({node->bytes.get(), options_.block_bytes})) return false;
  node->parent = path.tail_;
  node->serial = next_serial_++;
  node->tokens.assign(tokens.begin(), tokens.end());
  ++path.tail_->children;
  Node* added = node.get();
  nodes_.emplace(key_of(*path.tail_, tokens), std::move(node));
  pin(added);
  unpin(std::exchange(path.tail_, added));
  ++path.blocks_;
  return true;
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

bool PrefixCache::make_room() {
  if (options_.block_bytes == 0 || options_.block_bytes > options_.bytes_max) return false;
  while (bytes_in_use() > options_.bytes_max - options_.block_bytes) {
    if (evictable_.empty()) return false;
    evict(evictable_.begin()->second);
  }
  return true;
}

void PrefixCache::evict(Node* leaf) {
  evictable_.erase(leaf->last_use);
  Node* parent = leaf->parent;
  const auto [begin, end] = nodes_.equal_range(key_of(*parent, leaf->tokens));
  const auto entry =
      std::find_if(begin, end, [&](const auto& e) { return e.second.get() == leaf; });
  CHECK(entry != end);
  nodes_.erase(entry);
  --parent->children;
  // The parent goes next: it is as old as what hung on it.
  update_evictable(parent);
}

void PrefixCache::pin(Node* node) {
  ++node->pins;
  update_evictable(node);
}

void PrefixCache::unpin(Node* node) {
  CHECK(node->pins > 0);
  --node->pins;
  if (node->is_evictable) evictable_.erase(node->last_use);
  node->is_evictable = false;
  node->last_use = ++clock_;
  update_evictable(node);
}

/// A root that nobody needs goes at once; it holds nothing.
void PrefixCache::update_evictable(Node* node) {
  const bool is_unused = node->pins == 0 && node->children == 0;
  if (!node->parent) {
    if (is_unused) roots_.erase(roots_.find(node->scope));
    return;
  }
  if (is_unused == node->is_evictable) return;
  if (is_unused) {
    evictable_.emplace(node->last_use, node);
  } else {
    evictable_.erase(node->last_use);
  }
  node->is_evictable = is_unused;
}

Result<void> PrefixCache::check_invariants() const {
  const auto broken = [](std::string what) {
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
    if (node->is_evictable != (node->pins == 0 && node->children == 0)) {
      return broken("a block that is in use can be evicted, or one that is not cannot");
    }
    evictable += node->is_evictable ? 1 : 0;
  }
  if (evictable != evictable_.size()) return broken("the list of evictable blocks is wrong");
  for (const auto& [key, node] : nodes_) {
    const auto count = children.find(node.get());
    if (node->children != (count == children.end() ? 0 : count->second)) {
      return broken("a block miscounts what hangs on it");
    }
  }
  return {};
}

}  // namespace onnxlocal
