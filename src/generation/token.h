#pragma once

#include <cstdint>

namespace onnxlocal {

/// An index into a model's vocabulary.
using TokenId = std::int32_t;

}  // namespace onnxlocal
