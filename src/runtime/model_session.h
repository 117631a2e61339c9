#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "model/model_config.h"
#include "runtime/decoder.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// A decoder, and how it came to be.
struct LoadedDecoder {
  std::unique_ptr<Decoder> decoder;
  std::string execution_provider;  ///< The one that took the session: "cpu", "cuda", ...
  std::vector<std::string>
      warnings;  ///< One for each provider that was tried and failed, with why.
};

/// Opens the model on the first execution provider of `options` that takes it and passes a first
/// run. Any thread. Errors: model_corrupt, unsupported, unavailable (no provider took it: why,
/// each), cancelled, disk_full (no room for the sidecar).
Result<LoadedDecoder> load_decoder(const ModelFolder& folder, const RuntimeOptions& options,
                                   std::stop_token stop = {}, const ProgressSink& progress = {});

/// What ONNX Runtime offers here, for `doctor` and /health.
struct ExecutionProviderInfo {
  std::string name;
  bool available = false;
  std::string detail = {};           ///< The device, or why it is not available.
  std::string instruction_set = {};  ///< onnx-local alone: what its kernels use.
};
/// onnx-local is the first, as `choices` name it where they do (its library, its options).
std::vector<ExecutionProviderInfo> list_execution_providers(
    std::span<const ExecutionProviderChoice> choices = {});

/// ONNX Runtime's version, "1.31.1".
std::string onnxruntime_version();

/// ONNX Runtime's official builds (1.29 and newer, on every system) send their maker what is loaded
/// and run, from the first environment on; `DisableTelemetryEvents` comes too late for that. This
/// sets the one variable that keeps them from starting to, whatever the user's own says. A program
/// calls it first of all, before it has threads; loading a model does where nobody has.
void forbid_telemetry();

}  // namespace onnxlocal
