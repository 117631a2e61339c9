#include "runtime/kv_rows.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "runtime/slot_rows.h"

namespace onnxlocal {

std::uint32_t KvRows::capacity_for(const KvGeometry& geometry, std::uint32_t tokens) {
  const std::size_t step = kKvPageBytes / std::gcd(kKvPageBytes, geometry.vector_bytes());
  return static_cast<std::uint32_t>((tokens + step - 1) / step * step);
}

std::size_t KvRows::buffer_bytes(const KvGeometry& geometry, std::uint32_t slots,
                                 std::uint32_t tokens) {
  return std::size_t{slots} * geometry.heads * capacity_for(geometry, tokens) *
         geometry.vector_bytes();
}

KvRows::KvRows(const KvGeometry& geometry, std::uint32_t slots, std::uint32_t tokens,
               std::unique_ptr<KvMemory> memory)
    : geometry_(geometry),
      capacity_(capacity_for(geometry, tokens)),
      memory_(std::move(memory)),
      row_of_slot_(slots),
      lengths_(slots, 0) {
  std::iota(row_of_slot_.begin(), row_of_slot_.end(), 0U);
}

std::uint32_t KvRows::row_of(SlotId slot) const {
  CHECK(slot.value < row_of_slot_.size());
  return row_of_slot_[slot.value];
}

bool KvRows::is_empty() const {
  return std::ranges::all_of(lengths_, [](std::uint32_t length) { return length == 0; });
}

std::ptrdiff_t KvRows::distance(std::uint32_t from, std::uint32_t to) const {
  return (static_cast<std::ptrdiff_t>(to) - static_cast<std::ptrdiff_t>(from)) *
         static_cast<std::ptrdiff_t>(row_bytes());
}

/// Visits the row's heads in the order of a block: [layer][key, value][head].
template <class Visit>
Result<void> KvRows::try_each_head(std::uint32_t row, const Visit& visit) const {
  for (std::size_t buffer = 0; buffer < std::size_t{2} * geometry_.layers; ++buffer) {
    std::byte* const begin = memory_->buffer(buffer) + row * row_bytes();
    for (std::size_t head = 0; head < geometry_.heads; ++head) {
      TRY_VOID(visit(begin + head * head_bytes()));
    }
  }
  return {};
}

/// The whole row, not its tokens alone: a step that failed may have written behind them.
void KvRows::release_row(std::uint32_t row) {
  for (std::size_t buffer = 0; buffer < std::size_t{2} * geometry_.layers; ++buffer) {
    memory_->release(memory_->buffer(buffer) + row * row_bytes(), row_bytes());
  }
}

void KvRows::grow(SlotId slot, std::size_t tokens) {
  lengths_[row_of(slot)] += static_cast<std::uint32_t>(tokens);
}

void KvRows::truncate(SlotId slot, std::uint32_t tokens) {
  const std::uint32_t row = row_of(slot);
  CHECK(tokens <= lengths_[row]);
  if (tokens == 0) release_row(row);
  lengths_[row] = tokens;
}

Result<void> KvRows::copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) {
  CHECK(from != to && length(to) == 0 && tokens <= length(from));
  settle_empty(to);
  TRY_VOID(copy_row(row_of(from), row_of(to), tokens));
  grow(to, tokens);
  return {};
}

Result<void> KvRows::export_blocks(SlotId slot, std::uint32_t first_block,
                                   std::span<std::byte> bytes) const {
  const std::size_t blocks = bytes.size() / geometry_.block_bytes();
  CHECK(bytes.size() % geometry_.block_bytes() == 0);
  CHECK((first_block + blocks) * kBlockTokens <= length(slot));
  const std::size_t part = kBlockTokens * geometry_.vector_bytes();
  for (std::size_t block = 0; block < blocks; ++block) {
    std::byte* to = bytes.data() + block * geometry_.block_bytes();
    TRY_VOID(try_each_head(row_of(slot), [&](const std::byte* head) {
      auto copied = memory_->copy_out(head + (first_block + block) * part, {to, part});
      to += part;
      return copied;
    }));
  }
  return {};
}

Result<void> KvRows::import_blocks(SlotId slot, std::span<const std::byte> bytes) {
  const std::size_t blocks = bytes.size() / geometry_.block_bytes();
  const std::uint32_t first_block = length(slot) / kBlockTokens;
  CHECK(bytes.size() % geometry_.block_bytes() == 0 && length(slot) % kBlockTokens == 0);
  CHECK((first_block + blocks) * kBlockTokens <= capacity_);
  settle_empty(slot);
  const std::size_t part = kBlockTokens * geometry_.vector_bytes();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::byte* from = bytes.data() + block * geometry_.block_bytes();
    TRY_VOID(try_each_head(row_of(slot), [&](std::byte* head) {
      auto copied = memory_->copy_in({from, part}, head + (first_block + block) * part);
      from += part;
      return copied;
    }));
  }
  grow(slot, blocks * kBlockTokens);
  return {};
}

Result<std::uint32_t> KvRows::gather(std::span<const SlotId> slots) {
  std::vector<std::uint32_t> wanted;
  for (const SlotId slot : slots) settle_empty(slot);
  for (const SlotId slot : slots) wanted.push_back(row_of(slot));
  if (slots.size() == 1) return wanted.front();
  const RowPlan plan = plan_rows(lengths_, wanted);
  for (const RowPlan::Swap& pair : plan.swaps) TRY_VOID(swap(pair.outside, pair.inside));
  return plan.first;
}

/// An empty slot gets the lowest empty row: sequences gather at the low end.
void KvRows::settle_empty(SlotId slot) {
  if (length(slot) > 0) return;
  const auto row = lowest_empty_row(lengths_);
  if (row && *row < row_of(slot)) rename(*row, row_of(slot));
}

/// Row a's slot gets row b, and b's gets a; contents stay where they are.
void KvRows::rename(std::uint32_t a, std::uint32_t b) {
  std::iter_swap(std::ranges::find(row_of_slot_, a), std::ranges::find(row_of_slot_, b));
}

Result<void> KvRows::copy_row(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) {
  return try_each_head(from, [&](std::byte* head) {
    return memory_->copy(head, head + distance(from, to), tokens * geometry_.vector_bytes());
  });
}

/// Contents and slots of two rows trade places.
Result<void> KvRows::swap(std::uint32_t a, std::uint32_t b) {
  if (lengths_[a] == 0) std::swap(a, b);
  if (lengths_[b] == 0) {
    TRY_VOID(copy_row(a, b, lengths_[a]));
    release_row(a);
  } else {
    TRY_VOID(swap_contents(a, b));
  }
  std::swap(lengths_[a], lengths_[b]);
  rename(a, b);
  return {};
}

Result<void> KvRows::swap_contents(std::uint32_t a, std::uint32_t b) {
  const std::size_t bytes_b = lengths_[b] * geometry_.vector_bytes();
  std::vector<std::byte> kept(lengths_[a] * geometry_.vector_bytes());
  return try_each_head(a, [&](std::byte* head) -> Result<void> {
    TRY_VOID(memory_->copy_out(head, kept));
    TRY_VOID(memory_->copy(head + distance(a, b), head, bytes_b));
    return memory_->copy_in(kept, head + distance(a, b));
  });
}

}  // namespace onnxlocal
