#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/decoder.h"

namespace onnxlocal {

/// Which slots are taken, and how many bytes of keys and values they may come to. Engine thread
/// only. The lowest free slot is given first, so that memory that was touched once is used again.
class SlotPool {
 public:
  SlotPool(std::uint32_t slots, std::size_t bytes_max);

  /// A slot with `bytes` reserved; empty where no slot is free or the budget has no room for it.
  std::optional<SlotId> take(std::size_t bytes);
  /// Gives the slot and its reservation back.
  void give_back(SlotId slot);

  std::uint32_t taken() const { return taken_; }
  bool is_taken(SlotId slot) const { return reserved_bytes_.at(slot.value).has_value(); }
  std::size_t reserved_bytes() const { return reserved_total_; }
  std::size_t bytes_max() const { return bytes_max_; }

 private:
  const std::size_t bytes_max_;
  std::vector<std::optional<std::size_t>> reserved_bytes_;  ///< By slot; empty where free.
  std::uint32_t taken_ = 0;
  std::size_t reserved_total_ = 0;
};

}  // namespace onnxlocal
