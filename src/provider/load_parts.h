#pragma once

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <stop_token>

#include "base/progress.h"
#include "base/result.h"
#include "model/model_config.h"
#include "provider/local.h"
#include "provider/provider.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// Finds out on a thread of its own whether llguidance can use a tokenizer. That makes the tables
/// that all of its grammars share, which takes half a second.
std::shared_future<bool> find_out_grammars(std::shared_ptr<const Tokenizer> tokenizer);

/// Loads a model folder's parts: the session on this thread, tokenizer and chat template on another
/// beside it; grammars' tables may still be on their way afterwards. Errors: model_corrupt,
/// not_found, unsupported, unavailable, cancelled.
Result<LocalParts> load_parts(const ModelFolder& folder, const RuntimeOptions& runtime,
                              const ProgressSink& progress, const std::stop_token& stop);

/// Loads the model that guesses for the one in `parts`, or adds a warning where guesses would not
/// be verified in one step. Errors: as above.
Result<void> add_draft_model(LocalParts& parts, const ModelFolder& draft,
                             const RuntimeOptions& runtime, const ProgressSink& progress,
                             const std::stop_token& stop);

/// When a file was changed last; 1970 where it is not there.
std::chrono::sys_seconds changed_at(const std::filesystem::path& file);

/// What is known of a model before it is loaded.
ModelInfo describe_model(const ModelFolder& folder, const RuntimeOptions& runtime);

}  // namespace onnxlocal
