#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/block_file.h"
#include "base/file_lock.h"
#include "base/result.h"
#include "engine/disk_index.h"
#include "engine/segment_file.h"

namespace onnxlocal {

/// Which prefixes fit one another: those of one model, computed and laid out alike.
struct DiskPoolKey {
  std::string model;       ///< Its name, for people alone.
  std::string model_hash;  ///< What counts.
  std::string layout_id;
  std::uint32_t block_tokens = 0;
  std::uint64_t block_bytes = 0;
};

/// The segments of one pool: a folder of its own in the cache folder, locked while it is open.
/// Format: docs/formats/prefix-cache.md. One thread.
class DiskPool {
 public:
  /// Segments of about this size: few enough files for large caches, small enough to give back.
  static constexpr std::uint64_t kSegmentBytes = std::uint64_t{64} << 20;

  struct Options {
    std::filesystem::path folder;  ///< Of all pools.
    std::uint64_t bytes_max = 0;   ///< Of all pools together.
    BlockFileOpener open_file = open_block_file;
  };
  /// Opens or makes it. What is there beyond `bytes_max` is removed. Errors: unavailable (another
  /// process has it), unsupported (its blocks are outside the bounds), disk_full, internal.
  static Result<DiskPool> open(const DiskPoolKey& key, Options options);

  /// What the segments held when they were opened; once.
  std::vector<std::pair<DiskPlace, SegmentEntry>> take_entries() { return std::move(entries_); }

  /// An empty slot.
  std::optional<DiskPlace> take_free();
  void give_back(DiskPlace place) { free_.push_back(place); }
  /// To be taken after all others: it could not be written.
  void give_back_last(DiskPlace place) { free_.insert(free_.begin(), place); }
  /// Adds a segment of empty slots. Where the budget is used up, pools that were used before
  /// `oldest_use` (seconds since 1970) go first. Errors: disk_full, internal.
  Result<void> grow(std::uint64_t oldest_use);

  // Errors: disk_full, internal. REQUIRES: `place` came from here.
  Result<void> read(DiskPlace place, std::span<std::byte> bytes) const;
  Result<void> write(DiskPlace place, const SegmentEntry& entry, std::span<const std::byte> bytes);
  Result<void> write_entry(DiskPlace place, const SegmentEntry& entry);

  std::uint64_t size_bytes() const;
  /// Blocks that find room where all of the budget is this pool's.
  std::uint64_t blocks_max() const { return options_.bytes_max / segment_bytes_ * shape_.slots; }

 private:
  DiskPool(std::filesystem::path folder, Options options, SegmentShape shape, FileLock lock);
  Result<void> open_segments();
  std::filesystem::path segment_path(std::uint32_t number) const;

  std::filesystem::path folder_;
  Options options_;
  SegmentShape shape_;
  std::uint64_t segment_bytes_ = 0;
  FileLock lock_;
  std::map<std::uint32_t, SegmentFile> segments_;
  std::vector<DiskPlace> free_;
  std::vector<std::pair<DiskPlace, SegmentEntry>> entries_;
};

/// What a pool holds, for people.
struct DiskPoolSummary {
  /// The prefixes of one scope (an API key, hashed).
  struct Scope {
    std::string id;
    std::uint64_t blocks = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t first_use = 0;  ///< The block that was not used for longest, seconds since 1970.
    std::uint64_t last_use = 0;
  };
  std::filesystem::path folder;
  DiskPoolKey key;
  std::uint64_t size_bytes = 0;  ///< Of its files, with empty slots.
  std::vector<Scope> scopes;
};
/// All pools in the cache folder, whoever has them open; what cannot be read is left out.
std::vector<DiskPoolSummary> list_disk_pools(const std::filesystem::path& folder);

/// Removes the pools of `model` (a name; empty: all). Those that a process has open stay.
struct DiskPoolRemoval {
  std::uint64_t size_bytes = 0;
  std::uint32_t removed = 0;
  std::uint32_t in_use = 0;
};
DiskPoolRemoval remove_disk_pools(const std::filesystem::path& folder, std::string_view model);

/// 4 GiB, or a tenth of what is free or taken by the cache already, whichever is less.
std::uint64_t default_disk_cache_bytes(const std::filesystem::path& folder);

/// The first 16 bytes of a SHA-256.
DiskKey disk_key(std::string_view text);

}  // namespace onnxlocal
