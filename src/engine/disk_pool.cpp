#include "engine/disk_pool.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/log.h"
#include "engine/disk_pool_folder.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

std::string pool_name(const DiskPoolKey& key) {
  const std::string text = fmt::format("{}\n{}\n{}\n{}", key.model_hash, key.layout_id,
                                       key.block_tokens, key.block_bytes);
  return sha256_hex(std::as_bytes(std::span(text))).substr(0, 32);
}

/// A sixteenth of the budget at most, so that little is evicted at once and a small budget is used.
SegmentShape shape_of(const DiskPoolKey& key, std::uint64_t bytes_max) {
  const std::uint64_t wanted = std::min(DiskPool::kSegmentBytes, bytes_max / 16);
  const std::uint64_t slots = wanted / std::max<std::uint64_t>(key.block_bytes, 1);
  return {.pool = disk_key(pool_name(key)),
          .block_tokens = key.block_tokens,
          .block_bytes = key.block_bytes,
          .slots = static_cast<std::uint32_t>(
              std::clamp<std::uint64_t>(slots, 1, SegmentFile::kSlotsMax))};
}

}  // namespace

DiskPool::DiskPool(fs::path folder, Options options, SegmentShape shape, FileLock lock)
    : folder_(std::move(folder)),
      options_(std::move(options)),
      shape_(shape),
      segment_bytes_(SegmentFile::file_bytes(shape)),
      lock_(std::move(lock)) {}

Result<DiskPool> DiskPool::open(const DiskPoolKey& key, Options options) {
  const SegmentShape shape = shape_of(key, options.bytes_max);
  if (!SegmentFile::is_sound(shape)) {
    return std::unexpected(unsupported(fmt::format("blocks of {} tokens and {} bytes are not kept",
                                                   key.block_tokens, key.block_bytes)));
  }
  TRY_VOID(make_private_folder(options.folder));
  fs::path folder = options.folder / pool_name(key);
  TRY_VOID(make_private_folder(folder));
  auto lock = FileLock::try_acquire(folder);
  if (!lock) {
    return std::unexpected(
        unavailable(fmt::format("another process keeps its prefixes in {}", folder.string()),
                    "its cache is not shared; --cache-dir names another place"));
  }
  TRY_VOID(write_pool_note(folder, key));
  DiskPool pool(std::move(folder), std::move(options), shape, *std::move(lock));
  TRY_VOID(pool.open_segments());
  return pool;
}

fs::path DiskPool::segment_path(std::uint32_t number) const {
  return folder_ / fmt::format("{:06}{}", number, kSegmentSuffix);
}

/// A file that is no segment of ours, or damaged in its header, is removed: it only takes room.
Result<void> DiskPool::open_segments() {
  std::uint64_t left = options_.bytes_max;
  for (const std::uint32_t number : segment_numbers(folder_)) {
    const fs::path path = segment_path(number);
    auto opened = [&]() -> Result<void> {
      TRY(auto file, options_.open_file(path, BlockFileMode::kWrite));
      TRY(SegmentFile segment, SegmentFile::open(std::move(file)));
      // Another budget made segments of another size; they are as good.
      const SegmentShape& shape = segment.shape();
      const bool is_ours = shape.pool == shape_.pool && shape.block_tokens == shape_.block_tokens &&
                           shape.block_bytes == shape_.block_bytes;
      if (!is_ours) return std::unexpected(model_corrupt("it belongs to another cache"));
      const std::uint64_t size = SegmentFile::file_bytes(shape);
      if (size > left) return std::unexpected(disk_full("it is beyond the cache's bound"));
      TRY(auto entries, segment.read_entries());
      left -= size;
      std::vector<bool> is_taken(shape.slots);
      for (auto& [slot, entry] : entries) {
        is_taken[slot] = true;
        entries_.emplace_back(DiskPlace{number, slot}, std::move(entry));
      }
      for (std::uint32_t slot = shape.slots; slot-- > 0;) {
        if (!is_taken[slot]) free_.push_back({number, slot});
      }
      segments_.emplace(number, std::move(segment));
      return {};
    }();
    if (opened) continue;
    LOG_INFO("prefix cache: {} is removed: {}", path.string(), opened.error().message);
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  return {};
}

std::optional<DiskPlace> DiskPool::take_free() {
  if (free_.empty()) return std::nullopt;
  const DiskPlace place = free_.back();
  free_.pop_back();
  return place;
}

std::uint64_t DiskPool::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [number, segment] : segments_) bytes += SegmentFile::file_bytes(segment.shape());
  return bytes;
}

Result<void> DiskPool::grow(std::uint64_t oldest_use) {
  if (size_bytes() + segment_bytes_ > options_.bytes_max) {
    return std::unexpected(disk_full("the prefix cache is as large as it may be"));
  }
  while (pools_bytes(options_.folder) + segment_bytes_ > options_.bytes_max) {
    if (!remove_oldest_pool(options_.folder, folder_, oldest_use)) {
      return std::unexpected(disk_full("the prefix cache is as large as it may be"));
    }
  }
  const std::uint32_t number = segments_.empty() ? 0 : segments_.rbegin()->first + 1;
  const fs::path path = segment_path(number);
  auto made = [&]() -> Result<SegmentFile> {
    TRY(auto file, options_.open_file(path, BlockFileMode::kCreate));
    return SegmentFile::create(std::move(file), shape_);
  }();
  if (!made) {
    std::error_code ignored;
    fs::remove(path, ignored);
    return std::unexpected(made.error());
  }
  segments_.emplace(number, *std::move(made));
  for (std::uint32_t slot = shape_.slots; slot-- > 0;) free_.push_back({number, slot});
  return {};
}

Result<void> DiskPool::read(DiskPlace place, std::span<std::byte> bytes) const {
  return segments_.at(place.segment).read_block(place.slot, bytes);
}

Result<void> DiskPool::write(DiskPlace place, const SegmentEntry& entry,
                             std::span<const std::byte> bytes) {
  return segments_.at(place.segment).write_block(place.slot, entry, bytes);
}

Result<void> DiskPool::write_entry(DiskPlace place, const SegmentEntry& entry) {
  return segments_.at(place.segment).write_entry(place.slot, entry);
}

}  // namespace onnxlocal
