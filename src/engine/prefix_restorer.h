#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/disk_cache.h"
#include "engine/prefix_cache.h"
#include "generation/token.h"

namespace onnxlocal {

/// Brings prefixes back from the disk into the prefix cache before their prompts are computed, one
/// after the other. It never waits: whoever drives it calls `poll` after the disk's news, and at
/// `wake_at`. Engine thread only.
class PrefixRestorer {
 public:
  using TimePoint = PrefixCache::TimePoint;
  /// A disk that gives nothing for so long is not waited for: the prompt is computed.
  static constexpr std::chrono::seconds kStallMax{2};
  /// Nor is one whose turn does not come: others' prompts are before it.
  static constexpr std::chrono::seconds kWaitMax{30};

  /// What is asked for, and what came of it. While it lives, what came back stays in the cache.
  /// Dropped at any time.
  class Order {
   public:
    ~Order();
    Order(const Order&) = delete;
    Order& operator=(const Order&) = delete;
    bool is_over() const { return is_over_; }
    bool was_damaged() const { return was_damaged_; }
    bool came_too_late() const { return came_too_late_; }

   private:
    friend class PrefixRestorer;
    explicit Order(PrefixRestorer& restorer) : restorer_(restorer) {}
    PrefixRestorer& restorer_;
    PrefixCache::Path path_;  ///< What is in the cache so far.
    DiskKey scope_{};
    std::vector<TokenId> tokens_;  ///< Whole blocks.
    std::function<CacheRank(std::uint32_t block)> rank_of_;
    TimePoint asked_at_;
    TimePoint last_news_;
    bool is_begun_ = false;
    bool is_over_ = false;
    bool was_damaged_ = false;
    bool came_too_late_ = false;
  };

  struct Wanted {
    PrefixCache::Path path;           ///< The empty prefix of its scope.
    DiskKey scope{};                  ///< The same scope on the disk.
    std::span<const TokenId> tokens;  ///< Whole blocks.
    std::function<CacheRank(std::uint32_t block)> rank_of;
  };
  /// Both outlive it, and it outlives its orders.
  PrefixRestorer(PrefixCache& cache, DiskCache& disk, std::uint32_t block_tokens,
                 std::function<TimePoint()> now)
      : cache_(cache), disk_(disk), block_tokens_(block_tokens), now_(std::move(now)) {}

  /// Null where the cache has all that the disk has.
  std::unique_ptr<Order> ask(Wanted wanted);

  /// Takes what came. True where an order is over now.
  bool poll();
  /// When to poll again at the latest.
  TimePoint wake_at() const;
  std::uint64_t restored_blocks() const { return restored_blocks_; }

 private:
  std::span<const TokenId> next_block(const Order& order) const;
  void follow(Order& order);
  bool begin(Order& order);
  void take(Order& order);
  void end(Order& order);

  PrefixCache& cache_;
  DiskCache& disk_;
  const std::uint32_t block_tokens_;
  const std::function<TimePoint()> now_;
  std::list<Order*> orders_;  ///< Those that are not over, in their order; the first is read.
  std::uint64_t restored_blocks_ = 0;
};

}  // namespace onnxlocal
