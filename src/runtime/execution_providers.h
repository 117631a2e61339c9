#pragma once

#include <string>
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

/// The instruction set that our own provider uses in sessions of this choice, which has its library
/// (own_provider.h), as the library says; "unknown" where it says nothing. It decides the bits of
/// results. The library is registered with the environment. Errors: unavailable (with why).
Result<std::string> own_instruction_set(Ort::Env& environment,
                                        const ExecutionProviderChoice& choice);

}  // namespace onnxlocal
