#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// The folder that a library of this process was loaded from, by the beginning of its name.
std::optional<std::filesystem::path> mapped_library_folder(std::string_view name);

/// True for the execution provider of ours, in ep/: "onnx-local".
bool is_own_provider(const ExecutionProviderChoice& choice);

/// Its library: ONNX_LOCAL_EP_LIBRARY, else beside the program or library that this code is in, or
/// in the lib folder beside that one. Errors: unavailable (where it was looked for).
Result<std::filesystem::path> find_own_provider();

/// The choice with its library. Errors: those of `find_own_provider`.
Result<ExecutionProviderChoice> with_own_library(ExecutionProviderChoice choice);

/// The choice with the options that we set for it where the user did not: threads, and a file of
/// packed weights for `instruction_set` in CACHE/packed/`model_identity`. What was packed of models
/// that are gone, or used long ago, is removed there.
ExecutionProviderChoice complete_own_provider(ExecutionProviderChoice choice,
                                              const RuntimeOptions& options,
                                              const std::string& instruction_set,
                                              const std::string& model_identity,
                                              const std::filesystem::path& model_file);

}  // namespace onnxlocal
