#pragma once

#include <utility>

namespace onnxlocal::ep {

#define ONNXLOCAL_INLINE __attribute__((always_inline))

/// body(0), ..., body(kCount - 1) with constants: arrays of vectors stay in registers. Has internal
/// linkage where `Body` is a lambda of a file's own.
template <int kCount, class Body>
ONNXLOCAL_INLINE inline void unroll(Body body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) ONNXLOCAL_INLINE {
    (body(std::integral_constant<int, kIndex>{}), ...);
  }(std::make_integer_sequence<int, kCount>{});
}

}  // namespace onnxlocal::ep
