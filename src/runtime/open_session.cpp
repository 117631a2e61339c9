#include "runtime/open_session.h"

#include <string>
#include <utility>

#include "runtime/environment.h"
#include "runtime/execution_providers.h"
#include "runtime/ort_error.h"
#include "runtime/session_options.h"

namespace onnxlocal {

Result<Ort::SessionOptions> make_provider_options(Ort::Env& environment,
                                                  const ExecutionProviderChoice& choice,
                                                  const RuntimeOptions& options) {
  TRY(Ort::SessionOptions session_options, make_session_options(options));
  TRY_VOID(append_execution_provider(environment, session_options, choice));
  return session_options;
}

Result<OpenSession> open_session(const std::filesystem::path& model_file,
                                 const ExecutionProviderChoice& choice,
                                 const RuntimeOptions& options, const std::stop_token& stop) {
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
    Ort::Session session(environment, model_file.c_str(), session_options);
    if (stop.stop_requested()) return std::unexpected(cancelled());
    return OpenSession{std::move(environment), std::move(session)};
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error(model_file.filename().string(), exception));
  }
}

}  // namespace onnxlocal
