#include "engine/slot_pool.h"

#include "base/check.h"

namespace onnxlocal {

SlotPool::SlotPool(std::uint32_t slots, std::size_t bytes_max)
    : bytes_max_(bytes_max), reserved_bytes_(slots) {}

std::optional<SlotId> SlotPool::take(std::size_t bytes) {
  if (bytes > bytes_max_ - reserved_total_) return std::nullopt;
  for (std::uint32_t slot = 0; slot < reserved_bytes_.size(); ++slot) {
    if (reserved_bytes_[slot]) continue;
    reserved_bytes_[slot] = bytes;
    reserved_total_ += bytes;
    ++taken_;
    return SlotId{slot};
  }
  return std::nullopt;
}

void SlotPool::give_back(SlotId slot) {
  std::optional<std::size_t>& reserved = reserved_bytes_.at(slot.value);
  CHECK(reserved.has_value());
  reserved_total_ -= *reserved;
  reserved.reset();
  --taken_;
}

}  // namespace onnxlocal
