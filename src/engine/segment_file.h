#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/block_file.h"
#include "base/result.h"
#include "generation/token.h"

namespace onnxlocal {

/// A hash, where a hash is enough: of a scope, of a pool's key.
using DiskKey = std::array<std::byte, 16>;

/// What all blocks of a segment have in common. Format: docs/formats/prefix-cache.md.
struct SegmentShape {
  DiskKey pool{};  ///< Model and layout.
  std::uint32_t block_tokens = 0;
  std::uint64_t block_bytes = 0;
  std::uint32_t slots = 0;
  friend bool operator==(const SegmentShape&, const SegmentShape&) = default;
};

/// What is known of a block without its bytes.
struct SegmentEntry {
  std::uint64_t id = 0;      ///< Never 0; no two blocks of a pool share one.
  std::uint64_t parent = 0;  ///< The block before it; 0 for the first one of a prefix.
  DiskKey scope{};
  std::uint64_t last_use = 0;      ///< Seconds since 1970.
  std::uint64_t pinned_until = 0;  ///< The same; 0: not pinned.
  std::uint64_t checksum = 0;      ///< XXH64 of the block's bytes.
  std::vector<TokenId> tokens;
  friend bool operator==(const SegmentEntry&, const SegmentEntry&) = default;
};

/// A file of equal slots: a header, a table of what is in them, the blocks. Everything has a fixed
/// place, so a block is replaced where it lies, and the table alone says what is there. One thread.
///
/// What a crash may leave is an empty slot: a slot's entry is cleared before its bytes change, and
/// written after them. What a power cut may leave besides is an entry or a block with a wrong
/// checksum.
class SegmentFile {
 public:
  /// Bounds on what a header may say.
  static constexpr std::uint32_t kBlockTokensMax = 4096;
  static constexpr std::uint64_t kBlockBytesMax = std::uint64_t{1} << 30;
  static constexpr std::uint32_t kSlotsMax = 4096;

  /// False where a file of this shape would be outside the bounds.
  static bool is_sound(const SegmentShape& shape);
  static std::uint64_t file_bytes(const SegmentShape& shape);

  /// Makes an empty one, with room for all its blocks. Errors: disk_full, internal.
  static Result<SegmentFile> create(std::unique_ptr<BlockFile> file, const SegmentShape& shape);
  /// Errors: model_corrupt (no segment, or a damaged header), internal.
  static Result<SegmentFile> open(std::unique_ptr<BlockFile> file);

  const SegmentShape& shape() const { return shape_; }
  /// What is in the slots; damaged entries count as empty. Errors: model_corrupt (the file ends
  /// before its table does), internal.
  Result<std::vector<std::pair<std::uint32_t, SegmentEntry>>> read_entries() const;

  // Errors of all: disk_full, internal. REQUIRES: `slot` is one; sizes are the shape's.
  Result<void> read_block(std::uint32_t slot, std::span<std::byte> bytes) const;
  Result<void> write_block(std::uint32_t slot, const SegmentEntry& entry,
                           std::span<const std::byte> bytes);
  Result<void> write_entry(std::uint32_t slot, const SegmentEntry& entry);
  Result<void> clear_entry(std::uint32_t slot);

 private:
  SegmentFile(std::unique_ptr<BlockFile> file, const SegmentShape& shape)
      : file_(std::move(file)), shape_(shape) {}

  std::unique_ptr<BlockFile> file_;
  SegmentShape shape_;
};

/// An entry as it stands in the table. `seed` is its slot: one that was moved is damaged.
std::vector<std::byte> encode_entry(const SegmentEntry& entry, std::uint32_t seed);
/// Empty for an empty or damaged one, of whatever bytes.
std::optional<SegmentEntry> decode_entry(std::span<const std::byte> bytes, std::uint32_t seed);

}  // namespace onnxlocal
