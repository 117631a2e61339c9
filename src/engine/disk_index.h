#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/segment_file.h"
#include "generation/token.h"

namespace onnxlocal {

/// A slot of a segment.
struct DiskPlace {
  std::uint32_t segment = 0;
  std::uint32_t slot = 0;
  friend auto operator<=>(const DiskPlace&, const DiskPlace&) = default;
};

/// Which blocks the disk has, in memory. No I/O and no threads of its own.
///
/// Invariants
///  - A block's parent is there too, and of the same scope: a block is found by walking from the
///    first one, comparing tokens at each step.
///  - No two blocks share an id, or a place, or all of parent, scope and tokens.
///  - `weakest` names blocks that are stored, that nothing hangs on and that are not pinned, the
///    least recently used first.
///  - Pinned blocks and those before them are at most `pinned_blocks_max`: others find room.
class DiskIndex {
 public:
  /// No pin is for longer: the longest that clients may ask for. Bounds what a clock that was wrong
  /// leaves behind.
  static constexpr std::uint64_t kPinSecondsMax = 3600;

  explicit DiskIndex(std::uint32_t block_tokens,
                     std::size_t pinned_blocks_max = std::numeric_limits<std::size_t>::max())
      : block_tokens_(block_tokens), pinned_blocks_max_(pinned_blocks_max) {}

  /// A block; without a place it is still to be written.
  struct Block {
    SegmentEntry entry;
    std::optional<DiskPlace> place;
    std::uint32_t children = 0;
    std::uint32_t pins = 0;   ///< On this block or behind it.
    std::uint64_t use = 0;    ///< Counts uses: the order of eviction.
    bool is_touched = false;  ///< `entry` is newer than on the disk.
  };

  /// Takes what segments say, once, into an empty index at `now` (seconds since 1970). Returns the
  /// places of entries that hang on nothing or contradict others: their slots are free.
  std::vector<DiskPlace> load(std::vector<std::pair<DiskPlace, SegmentEntry>> entries,
                              std::uint64_t now);

  /// Blocks at the beginning of `tokens`, from the first one on; counts as a use at `now` (seconds
  /// since 1970).
  std::vector<std::uint64_t> find(const DiskKey& scope, std::span<const TokenId> tokens,
                                  std::uint64_t now);
  /// Null where there is no such block.
  const Block* get(std::uint64_t id) const;

  /// Adds a block without a place behind `parent` (0: at the beginning).
  ///   REQUIRES: `find` does not find it; `parent` is there.
  std::uint64_t add(std::uint64_t parent, const DiskKey& scope, std::span<const TokenId> tokens,
                    std::uint64_t now, std::uint64_t new_id);
  /// The block was written.
  void set_stored(std::uint64_t id, DiskPlace place, std::uint64_t checksum);
  /// Protects a block, and with it all before it, until this time (seconds since 1970); once more:
  /// for longer. Where that is more than may be pinned, the pins that end first go; where that is
  /// not enough, the beginning is protected.
  ///   REQUIRES: the block is there.
  void pin(std::uint64_t id, std::uint64_t until);
  /// Ends the pins whose time is over.
  void expire_pins(std::uint64_t now);

  /// Removes a block and all behind it; what was pinned there protects what is left before it.
  /// Returns the places that are free now.
  std::vector<DiskPlace> remove(std::uint64_t id);
  /// What to evict next.
  std::optional<std::uint64_t> weakest() const;

  /// Stored blocks whose entry should be written, which then counts as done.
  std::vector<std::pair<DiskPlace, SegmentEntry>> take_touched();

  std::size_t stored_blocks() const { return stored_; }
  std::size_t pinned_blocks() const { return pinned_blocks_; }
  /// The first invariant that does not hold; linear.
  Result<void> check_invariants() const;

 private:
  std::uint64_t key_of(std::uint64_t parent, const DiskKey& scope,
                       std::span<const TokenId> tokens) const;
  Block* find_child(std::uint64_t parent, const DiskKey& scope, std::span<const TokenId> tokens);
  Block& insert(SegmentEntry entry, std::optional<DiskPlace> place);
  void erase(std::uint64_t id);
  void use(Block& block, std::uint64_t now);
  void update_evictable(const Block& block, bool may_be);

  Block* parent_of(const Block& block);
  std::size_t unpinned_up_to(const Block& block);
  void unpin(Block& block);
  Result<void> check_pins() const;

  const std::uint32_t block_tokens_;
  const std::size_t pinned_blocks_max_;
  std::unordered_map<std::uint64_t, Block> blocks_;
  std::unordered_multimap<std::uint64_t, std::uint64_t> children_;  ///< By `key_of`.
  std::map<std::uint64_t, std::uint64_t> evictable_;                ///< By use.
  std::set<std::pair<std::uint64_t, std::uint64_t>> pins_;          ///< End, block.
  std::size_t pinned_blocks_ = 0;                                   ///< With any `pins`.
  std::uint64_t clock_ = 0;
  std::size_t stored_ = 0;
};

}  // namespace onnxlocal
