#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace onnxlocal {

/// A number that cannot be mixed up with another kind of number: `struct SlotTag;
/// using SlotId = StrongId<SlotTag, uint32_t>;`
template <class Tag, class Value>
struct StrongId {
  Value value{};
  friend auto operator<=>(const StrongId&, const StrongId&) = default;
};

}  // namespace onnxlocal

template <class Tag, class Value>
struct std::hash<onnxlocal::StrongId<Tag, Value>> {
  std::size_t operator()(const onnxlocal::StrongId<Tag, Value>& id) const noexcept {
    return std::hash<Value>{}(id.value);
  }
};
