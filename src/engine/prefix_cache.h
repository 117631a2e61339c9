#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "generation/token.h"

namespace onnxlocal {

/// Keys and values of prompt prefixes, in blocks, kept for later requests. Engine thread only.
///
/// Invariants
///  - A block hangs on the block before it, up to the root of its scope: a path from a root spells
///  a
///    prefix. Tokens are compared at each step of a lookup, so a path is never a mere hash match.
///  - The bytes of all blocks are at most `bytes_max`.
///  - Evicted are blocks that nothing hangs on and no `Path` ends in, the least recently used
///  first.
class PrefixCache {
  struct Node;

 public:
  struct Options {
    std::size_t bytes_max = 0;  ///< 0 keeps nothing.
    std::uint32_t block_tokens = 0;
    std::size_t block_bytes = 0;
  };

  /// A prefix that somebody is at: its blocks stay while it lives. The cache outlives it.
  class Path {
   public:
    Path() = default;
    ~Path() { reset(); }
    Path(Path&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)),
          tail_(std::exchange(other.tail_, nullptr)),
          blocks_(std::exchange(other.blocks_, 0)) {}
    Path& operator=(Path&& other) noexcept {
      if (this != &other) {
        reset();
        cache_ = std::exchange(other.cache_, nullptr);
        tail_ = std::exchange(other.tail_, nullptr);
        blocks_ = std::exchange(other.blocks_, 0);
      }
      return *this;
    }
    /// Blocks from the beginning of the prefix.
    std::uint32_t blocks() const { return blocks_; }
    bool is_open() const { return tail_ != nullptr; }

   private:
    friend class PrefixCache;
    Path(PrefixCache* cache, Node* root) : cache_(cache), tail_(root) {}
    void reset();
    PrefixCache* cache_ = nullptr;
    Node* tail_ = nullptr;
    std::uint32_t blocks_ = 0;
  };

  explicit PrefixCache(Options options);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// The empty prefix of a scope. Scopes share nothing.
  Path open(std::string_view scope);

  /// Steps to the block that holds `tokens` (exactly `block_tokens`) behind `path`; false where
  /// there is none.
  bool follow(Path& path, std::span<const TokenId> tokens);
  /// Bytes of the last block of `path` (at least one), valid until `path` moves on.
  std::span<const std::byte> bytes(const Path& path) const;

  /// Fills a new block's bytes.
  using Filler = std::function<Result<void>(std::span<std::byte>)>;
  /// Adds the block behind `path` and steps to it. False where there is no room, or `fill` failed.
  ///   REQUIRES: `follow` does not find it.
  bool add(Path& path, std::span<const TokenId> tokens, const Filler& fill);

  std::size_t bytes_in_use() const { return nodes_.size() * options_.block_bytes; }
  std::size_t blocks() const { return nodes_.size(); }
  /// The first invariant that does not hold. For tests and debug builds; linear.
  Result<void> check_invariants() const;

 private:
  using NodeMap = std::unordered_multimap<std::uint64_t, std::unique_ptr<Node>>;

  std::uint64_t key_of(const Node& parent, std::span<const TokenId> tokens) const;
  Node* find(const Node& parent, std::span<const TokenId> tokens);
  bool make_room();
  void evict(Node* leaf);
  void pin(Node* node);
  void unpin(Node* node);
  void update_evictable(Node* node);

  const Options options_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;  ///< By scope.
  NodeMap nodes_;                                                    ///< By `key_of`.
  std::map<std::uint64_t, Node*> evictable_;                         ///< By last use.
  std::uint64_t clock_ = 0;        ///< Counts uses; no two nodes share a value.
  std::uint64_t next_serial_ = 0;  ///< Names nodes in keys: addresses would be reused.
};

}  // namespace onnxlocal
