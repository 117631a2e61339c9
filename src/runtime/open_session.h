#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string_view>

#include <onnxruntime_cxx_api.h>

#include "base/file_lock.h"
#include "base/result.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// A session and its share in the environment, which must go last.
struct OpenSession {
  Ort::Env environment;
  Ort::Session session;
  std::optional<FileLock> in_use = {};  ///< Of the model's file, where it is a derived one.
};

/// Session options that name the execution provider `choice`.
/// Errors: unavailable (the provider does not load: why).
Result<Ort::SessionOptions> make_provider_options(Ort::Env& environment,
                                                  const ExecutionProviderChoice& choice,
                                                  const RuntimeOptions& options);

/// Opens the model on one execution provider. Errors: those of `make_provider_options`;
/// model_corrupt, unsupported, internal (the session fails); cancelled.
Result<OpenSession> open_session(const std::filesystem::path& model_file,
                                 const ExecutionProviderChoice& choice,
                                 const RuntimeOptions& options, const std::stop_token& stop);

/// The same for a graph in memory, whose external data lies in `data_folder`.
Result<OpenSession> open_session_from_memory(std::string_view graph,
                                             const std::filesystem::path& data_folder,
                                             const ExecutionProviderChoice& choice,
                                             const RuntimeOptions& options,
                                             const std::stop_token& stop);

}  // namespace onnxlocal
