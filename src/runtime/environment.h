#pragma once

#include <onnxruntime_cxx_api.h>

#include "base/log.h"
#include "base/result.h"

namespace onnxlocal {

/// A share in ONNX Runtime's environment, whose messages go to our log.
/// ONNX Runtime keeps one environment per process and counts its owners itself: each decoder owns
/// a share by value, and nothing of ours is global. The first share's log level holds for all.
Result<Ort::Env> make_environment(LogLevel level);

OrtLoggingLevel to_ort(LogLevel level);

}  // namespace onnxlocal
