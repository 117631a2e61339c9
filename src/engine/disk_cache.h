#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "engine/disk_index.h"
#include "engine/disk_pool.h"
#include "engine/prefix_cache.h"
#include "generation/token.h"

namespace onnxlocal {

/// Prefixes on disk, behind the engine's back: one thread of its own writes and reads blocks, and
/// the engine's thread never waits for it. What fails there costs a recomputation and nothing else.
///
/// Which blocks there are is known in memory, so that a lookup is an answer and not a question. A
/// block's bytes are summed up when it is written and compared when it is read; one that does not
/// agree is forgotten, with all behind it.
class DiskCache {
 public:
  /// Of the budget, as in memory.
  static constexpr double kPinnedShare = PrefixCache::kMarkedShare;

  struct Options {
    DiskPool::Options pool;
    /// Blocks that wait to be written, or to be taken after they were read. One more is not kept.
    std::size_t queue_bytes_max = std::size_t{128} << 20;
    std::function<std::uint64_t()> now_seconds;  ///< Since 1970; the system's clock where empty.
  };
  /// Reads what is there and starts the thread. `on_news` is called on that thread when
  /// `take_restored` has something. Errors: those of `DiskPool::open`.
  static Result<std::unique_ptr<DiskCache>> open(const DiskPoolKey& key, Options options,
                                                 std::function<void()> on_news);
  /// Stops without writing what waits.
  ~DiskCache();

  // Engine thread. `tokens` are whole blocks; a scope's name is hashed by `disk_key`.

  /// Blocks at the beginning of `tokens` that could be read.
  std::uint32_t stored_blocks(const DiskKey& scope, std::span<const TokenId> tokens);

  /// Gives the bytes of a prefix's blocks from this one on.
  using BlockSource = std::function<std::vector<CacheBlock>(std::uint32_t first)>;
  /// Queues those of a prefix's blocks that the disk has not, as far as the queue has room.
  void store(const DiskKey& scope, std::span<const TokenId> tokens, const BlockSource& source);

  /// Protects as much of a prefix as there is for this long from now, at most an hour: what comes
  /// later does not take its place. Written to the disk, so that a restart keeps it.
  void pin(const DiskKey& scope, std::span<const TokenId> tokens, std::chrono::seconds ttl);

  /// Starts to read the blocks from `first_block` on, one prefix at a time; false where the disk
  /// still hangs on an earlier one, or has none of these. Ends an earlier one.
  bool begin_restore(const DiskKey& scope, std::span<const TokenId> tokens,
                     std::uint32_t first_block);
  struct Restored {
    std::vector<CacheBlock> blocks;  ///< In order, behind those of the calls before.
    bool is_over = true;
    bool was_damaged = false;  ///< It ended at a block that could not be read.
  };
  Restored take_restored();
  /// The disk is at a block, of this prefix or one that was given up.
  bool is_reading() const;
  void end_restore();

  struct Counts {
    std::uint64_t size_bytes = 0;  ///< Of the files.
    std::uint64_t blocks = 0;      ///< That could be read.
    std::uint64_t pinned_blocks = 0;
    std::uint64_t written_blocks = 0;
    std::uint64_t read_blocks = 0;
    std::uint64_t refused_blocks = 0;  ///< The queue was full.
    std::uint64_t failed_blocks = 0;   ///< Not written, or damaged.
    std::uint64_t evictions = 0;
  };
  Counts counts() const;

  /// Writes what waits, until the deadline, and stops the thread. Nothing is kept afterwards.
  void close(Deadline deadline);
  /// True once nothing waits to be written or read. For tests.
  bool wait_until_idle(Deadline deadline);
  Result<void> check_invariants() const;

 private:
  struct Write {
    std::uint64_t id = 0;
    CacheBlock bytes;
  };
  struct Restore {
    explicit Restore(std::vector<std::uint64_t> wanted) : ids(std::move(wanted)) {}
    std::vector<std::uint64_t> ids;
    std::size_t next = 0;
    std::vector<CacheBlock> ready;
    bool was_damaged = false;
    bool is_over() const { return next == ids.size(); }
  };

  DiskCache(DiskPool pool, std::uint32_t block_tokens, std::size_t block_bytes, Options options,
            std::function<void()> on_news);
  void run();
  bool has_work() const;
  bool can_read() const;
  void read_next(std::unique_lock<std::mutex>& lock);
  void write_next(std::unique_lock<std::mutex>& lock);
  void write_next_pin(std::unique_lock<std::mutex>& lock);
  std::optional<DiskPlace> place_for_block(std::unique_lock<std::mutex>& lock);
  bool grow(std::unique_lock<std::mutex>& lock);
  void forget(std::uint64_t id);
  void write_touched(Deadline deadline);
  std::uint64_t now() const { return options_.now_seconds(); }

  // Constant after construction.
  const std::uint32_t block_tokens_;
  const std::size_t block_bytes_;
  const Options options_;
  const std::function<void()> on_news_;

  // The thread's own.
  DiskPool pool_;
  std::uint32_t blocks_until_growth_ = 0;  ///< Growing is not tried before.
  bool has_warned_ = false;

  // Guarded by mutex_, which is never held while the disk works.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  DiskIndex index_;
  std::mt19937_64 random_;  ///< For ids: no two runs give the same.
  std::deque<Write> writes_;
  std::deque<std::uint64_t> new_pins_;  ///< Blocks whose entries do not say it yet.
  std::optional<Restore> restore_;
  std::uint64_t restores_ = 0;  ///< Names the current one.
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool is_closing_ = false;
  bool is_stopping_ = false;
  Counts counts_;

  std::thread thread_;  ///< Last: it uses what stands above.
};

}  // namespace onnxlocal
