#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "program/instruction.h"

namespace onnxlocal::ep {

/// A piece of the scratch that buffers take one after the other.
struct Slot {
  Index space = kNone;
  std::uint32_t width = 0;  ///< The largest of its buffers.
  std::uint8_t terms = 0;   ///< As `Buffer::terms`.
};

/// Gives every buffer its slot (Buffer::slot; buffers that are an output have none): two buffers
/// share one where the first was read for the last time before the second is written.
///   returns: empty, or what stands in the way: attention rotates queries and keys in place, so
///   nobody may read them later
std::string plan_buffers(Program& program, std::vector<Slot>& slots);

}  // namespace onnxlocal::ep
