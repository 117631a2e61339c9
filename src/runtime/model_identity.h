#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/model_config.h"

namespace onnx {
class ModelProto;
}

namespace onnxlocal {

/// Names what is derived from a model: a hash of its graph, of the size and the time of every file
/// that holds its weights, and of `purpose`, which says what is derived and in which version.
/// Errors: model_corrupt.
Result<std::string> model_identity(const ModelFolder& folder, const onnx::ModelProto& model,
                                   std::string_view purpose);

}  // namespace onnxlocal
