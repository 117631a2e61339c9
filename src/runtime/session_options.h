#pragma once

#include <onnxruntime_cxx_api.h>

#include "base/result.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// ONNX Runtime's session options for a decoder, without an execution provider.
Result<Ort::SessionOptions> make_session_options(const RuntimeOptions& options);

}  // namespace onnxlocal
