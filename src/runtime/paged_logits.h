#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace onnx {
class GraphProto;
}

namespace onnxlocal {

/// Makes the graph's logits those of the rows that `kRowsInput` names: through its own
/// `positions` input where it has one, else by a gather before the output matrix, which is found by
/// walking back from `logits`. Errors: unsupported (no such matrix is found).
Result<void> gather_logits(onnx::GraphProto& graph, const std::string& logits,
                           const std::string& positions);

}  // namespace onnxlocal
