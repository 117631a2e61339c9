#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "runtime/decoder.h"
#include "runtime/kv_geometry.h"
#include "runtime/kv_memory.h"

namespace onnxlocal {

/// Keys and values of all slots, in rows: each of the 2 * layers buffers is
/// [rows, heads, capacity, head_dim]. A slot has a row of its own; which one changes, so that a
/// batch's rows lie side by side. Engine thread only. The preconditions are `Decoder`'s.
class KvRows {
 public:
  /// Tokens that a row has room for: `tokens`, rounded up to whole pages for each head, so that
  /// what a slot gives back is its own.
  static std::uint32_t capacity_for(const KvGeometry& geometry, std::uint32_t tokens);
  /// Bytes of each of the memory's buffers.
  static std::size_t buffer_bytes(const KvGeometry& geometry, std::uint32_t slots,
                                  std::uint32_t tokens);

  KvRows(const KvGeometry& geometry, std::uint32_t slots, std::uint32_t tokens,
         std::unique_ptr<KvMemory> memory);

  const KvMemory& memory() const { return *memory_; }
  std::uint32_t capacity() const { return capacity_; }
  std::size_t row_bytes() const { return geometry_.heads * head_bytes(); }
  std::uint32_t row_of(SlotId slot) const;
  std::uint32_t length(SlotId slot) const { return lengths_[row_of(slot)]; }
  bool is_empty() const;  ///< No slot holds anything.

  /// Makes the slots' rows adjacent, in any order, moving as little as can be. Returns the first.
  Result<std::uint32_t> gather(std::span<const SlotId> slots);
  /// `tokens` more were written to the slot's row.
  void grow(SlotId slot, std::size_t tokens);

  void truncate(SlotId slot, std::uint32_t tokens);
  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens);
  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const;
  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes);

 private:
  std::size_t head_bytes() const { return capacity_ * geometry_.vector_bytes(); }
  std::ptrdiff_t distance(std::uint32_t from, std::uint32_t to) const;
  template <class Visit>
  Result<void> try_each_head(std::uint32_t row, const Visit& visit) const;
  void release_row(std::uint32_t row);
  void settle_empty(SlotId slot);
  void rename(std::uint32_t a, std::uint32_t b);
  Result<void> copy_row(std::uint32_t from, std::uint32_t to, std::uint32_t tokens);
  Result<void> swap(std::uint32_t a, std::uint32_t b);
  Result<void> swap_contents(std::uint32_t a, std::uint32_t b);

  KvGeometry geometry_;
  std::uint32_t capacity_;
  std::unique_ptr<KvMemory> memory_;
  std::vector<std::uint32_t> row_of_slot_;
  std::vector<std::uint32_t> lengths_;  ///< Of each row, in tokens.
};

}  // namespace onnxlocal
