#include "runtime/open_session.h"

#include <string>
#include <utility>

#include <onnxruntime_session_options_config_keys.h>

#include "runtime/environment.h"
#include "runtime/execution_providers.h"
#include "runtime/ort_error.h"
#include "runtime/own_provider.h"
#include "runtime/session_options.h"

namespace onnxlocal {

Result<Ort::SessionOptions> make_provider_options(Ort::Env& environment,
                                                  const ExecutionProviderChoice& choice,
                                                  const RuntimeOptions& options) {
  RuntimeOptions own = options;
  // Our provider has threads of its own: ONNX Runtime's would only wait beside them.
  if (is_own_provider(choice)) own.threads = 1;
  TRY(Ort::SessionOptions session_options, make_session_options(own));
  TRY_VOID(append_execution_provider(environment, session_options, choice));
  return session_options;
}

namespace {

/// Makes the session by `make(environment, session_options)`; a stop ends it early.
template <class Make>
Result<OpenSession> open(std::string_view what, const ExecutionProviderChoice& choice,
                         const RuntimeOptions& options, const std::stop_token& stop, Make make) {
  TRY(Ort::Env environment, make_environment(options.log_level));
  TRY(Ort::SessionOptions session_options, make_provider_options(environment, choice, options));
  try {
    // The flag is atomic inside ONNX Runtime: it may be raised from the thread that stops us.
    const std::stop_callback cancel(stop, [&session_options] {
      try {
        session_options.SetLoadCancellationFlag(true);
      } catch (const Ort::Exception&) {
        // Then the load runs to its end, and its result is dropped.
        return;
      }
    });
    Ort::Session session = make(environment, session_options);
    if (stop.stop_requested()) return std::unexpected(cancelled());
    return OpenSession{std::move(environment), std::move(session)};
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error(what, exception));
  }
}

}  // namespace

Result<OpenSession> open_session(const std::filesystem::path& model_file,
                                 const ExecutionProviderChoice& choice,
                                 const RuntimeOptions& options, const std::stop_token& stop) {
  return open(model_file.filename().string(), choice, options, stop,
              [&model_file](Ort::Env& environment, Ort::SessionOptions& session_options) {
                return Ort::Session(environment, model_file.c_str(), session_options);
              });
}

Result<OpenSession> open_session_from_memory(std::string_view graph,
                                             const std::filesystem::path& data_folder,
                                             const ExecutionProviderChoice& choice,
                                             const RuntimeOptions& options,
                                             const std::stop_token& stop) {
  return open("the paged graph", choice, options, stop,
              [&](Ort::Env& environment, Ort::SessionOptions& session_options) {
                session_options.AddConfigEntry(
                    kOrtSessionOptionsModelExternalInitializersFileFolderPath, data_folder.c_str());
                return Ort::Session(environment, graph.data(), graph.size(), session_options);
              });
}

}  // namespace onnxlocal
