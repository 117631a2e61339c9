#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "generation/event.h"
#include "generation/request.h"
#include "onnxlocal/model.h"
#include "runtime/runtime_options.h"

/// Between the public value types and our own, so that neither's change breaks the other's users.
namespace onnxlocal::embed {

Error to_public(const onnxlocal::Error& error);
StopReason to_public(onnxlocal::StopReason reason);
Usage to_public(const onnxlocal::Usage& usage);
Token to_public(const TokenReport& report);

SamplingOptions to_sampling(const GenerateOptions& options);
GenerationRequest to_request(std::span<const Message> messages, const GenerateOptions& options);
SequenceRequest to_sequence(std::span<const TokenId> tokens, const GenerateOptions& options);
onnxlocal::Result<RuntimeOptions> to_runtime(const ModelOptions& options);
onnxlocal::Result<EngineOptions> to_engine(const ModelOptions& options);

}  // namespace onnxlocal::embed
