#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "import/gguf_types.h"

namespace onnxlocal {

/// Block bytes to float32, the same bits as ggml's `to_float` of that type: the reference for
/// quantizers and tests.
///   bytes:  n / block_values blocks of `type`
///   values: n floats
///   errors: unsupported (not F32, F16, BF16, Q8_0, Q4_0, Q4_1); invalid_request (sizes do not
///   match)
Result<void> dequantize(GgmlType type, std::span<const std::byte> bytes, std::span<float> values);

}  // namespace onnxlocal
