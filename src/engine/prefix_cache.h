#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
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

/// How well a prefix is protected, weakest first. A new block evicts blocks of its own rank or
/// weaker ones, never stronger ones.
enum class CacheRank : std::uint8_t {
  kAnonymous,
  kAgent,   ///< The last prefix of somebody who works on.
  kPinned,  ///< A client asked to keep it, and its time is not over.
};

/// A block's bytes. Shared: a writer to the disk may hold them longer than the cache does.
using CacheBlock = std::shared_ptr<const std::byte[]>;

/// Keys and values of prompt prefixes, in blocks, kept for later requests. Engine thread only.
///
/// Invariants
///  - A block hangs on the block before it, up to the root of its scope: a path from a root spells
///    a prefix. Tokens are compared at each step of a lookup, so a path is never a mere hash match.
///  - The bytes of all blocks are at most `bytes_max`.
///  - Evicted are blocks that nothing hangs on and no `Path` ends in: of the weakest rank, the
///    least recently used first. So a mark at the end of a prefix protects all of it.
///  - Marked prefixes take at most `kMarkedShare` of the bytes, so that others find room.
class PrefixCache {
  struct Node;

 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Options {
    std::size_t bytes_max = 0;  ///< 0 keeps nothing.
    std::uint32_t block_tokens = 0;
    std::size_t block_bytes = 0;
    std::function<TimePoint()> now = std::chrono::steady_clock::now;  ///< For pins.
  };
  static constexpr double kMarkedShare = 0.75;
  /// Pins and agents beyond these bounds lose their oldest one.
  static constexpr std::size_t kPinsMax = 256;
  static constexpr std::size_t kAgentsMax = 64;
  /// An agent has side talks (titles, summaries) beside its conversation.
  static constexpr std::size_t kPrefixesPerAgent = 4;

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
  /// Blocks [first, path.blocks()) of `path`.
  std::vector<CacheBlock> blocks_of(const Path& path, std::uint32_t first) const;

  /// Fills a new block's bytes.
  using Filler = std::function<Result<void>(std::span<std::byte>)>;
  /// Adds the block behind `path` and steps to it. False where there is no room that a newcomer of
  /// this rank may take, or `fill` failed.
  ///   REQUIRES: `follow` does not find it.
  bool add(Path& path, std::span<const TokenId> tokens, const Filler& fill,
           CacheRank newcomer = CacheRank::kAnonymous);
  /// The same with bytes that are there already: `block_bytes` of them.
  bool add(Path& path, std::span<const TokenId> tokens, CacheBlock bytes,
           CacheRank newcomer = CacheRank::kAnonymous);

  /// Protects the first `blocks` of `path` for this long from now; once more: for longer.
  void pin(const Path& path, std::uint32_t blocks, std::chrono::seconds ttl);
  /// Protects `path` as what `agent` (a name within all scopes) used last, in place of what it went
  /// on from. A `side_talk` is not protected where the agent has something longer.
  void keep_for_agent(const Path& path, std::string_view agent, bool is_side_talk);

  std::size_t bytes_in_use() const { return nodes_.size() * options_.block_bytes; }
  std::size_t blocks() const { return nodes_.size(); }
  /// Bytes of marked prefixes, each block once.
  std::size_t marked_bytes() const { return marked_blocks_ * options_.block_bytes; }
  std::uint64_t evictions() const { return evictions_; }
  /// The first invariant that does not hold. For tests and debug builds; linear.
  Result<void> check_invariants() const;

 private:
  using NodeMap = std::unordered_multimap<std::uint64_t, std::unique_ptr<Node>>;
  /// Protects the path that ends in `tail`.
  struct Mark {
    Node* tail = nullptr;
    CacheRank rank = CacheRank::kPinned;
    TimePoint expires = TimePoint::max();
    std::string agent;  ///< Empty for pins.
    std::uint64_t last_use = 0;
  };
  using Marks = std::list<Mark>;

  std::uint64_t key_of(const Node& parent, std::span<const TokenId> tokens) const;
  Node* find(const Node& parent, std::span<const TokenId> tokens);
  bool can_hold_blocks() const;
  bool make_room(CacheRank newcomer);
  void insert(Path& path, std::span<const TokenId> tokens, CacheBlock bytes);
  void evict(Node* leaf);
  void hold(Node* node);
  void release(Node* node);
  void update_evictable(Node* node);
  void remove_evictable(Node* node);

  void expire_pins();
  void add_mark(Mark mark);
  Marks::iterator remove_mark(Marks::iterator mark);
  void hand_marks_up(Node* leaf);
  void update_rank(Node* node);
  bool drop_weakest_mark(CacheRank rank_max);
  void bound_pins();
  void bound_agents(std::string_view agent);
  std::size_t marked_blocks_max() const;
  std::vector<std::string> check_marks() const;

  const Options options_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;  ///< By scope.
  NodeMap nodes_;                                                    ///< By `key_of`.
  std::array<std::map<std::uint64_t, Node*>, 3> evictable_;          ///< By rank, then by last use.
  Marks marks_;
  TimePoint next_expiry_ = TimePoint::max();  ///< No pin ends before.
  std::size_t marked_blocks_ = 0;
  std::uint64_t clock_ = 0;        ///< Counts uses; no two nodes share a value.
  std::uint64_t next_serial_ = 0;  ///< Names nodes in keys: addresses would be reused.
  std::uint64_t evictions_ = 0;
};

}  // namespace onnxlocal
