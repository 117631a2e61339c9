#pragma once

#include <vector>

#include <onnxruntime_cxx_api.h>

#include "base/result.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// The providers to try where the user named none: cuda where its library and a device are, then
/// onnx-local, then cpu.
std::vector<ExecutionProviderChoice> default_execution_providers();

/// True for ONNX Runtime's own CPU provider, which needs no appending and is always there.
bool is_stock_cpu(const ExecutionProviderChoice& choice);

/// Makes sessions of these options run on the provider. A plugin's library is registered with the
/// environment first. Errors: unavailable (with why), invalid_request (an option it refuses).
Result<void> append_execution_provider(Ort::Env& environment, Ort::SessionOptions& options,
                                       const ExecutionProviderChoice& choice);

}  // namespace onnxlocal
