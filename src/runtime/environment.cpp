#include "runtime/environment.h"

#include <cstdlib>
#include <string_view>

#include "base/environment.h"
#include "runtime/model_session.h"
#include "runtime/ort_error.h"
#include "runtime/paged_format.h"

namespace onnxlocal {

namespace {

constexpr const char* kForbidsTelemetry = "ORT_DISABLE_TELEMETRY";

// One level lower than ONNX Runtime says: what it calls an error also comes back as a status, which
// we report once and in our words, and its warnings are advice to whoever exported the model. Those
// of our own provider are written for who runs it.
void log_message(void* /*param*/, OrtLoggingLevel severity, const char* /*category*/,
                 const char* /*log_id*/, const char* /*code_location*/, const char* message) {
  const std::string_view text = message;
  if (severity == ORT_LOGGING_LEVEL_FATAL) {
    LOG_ERROR("ONNX Runtime: {}", text);
  } else if (severity == ORT_LOGGING_LEVEL_WARNING && text.starts_with(kOwnProviderName)) {
    LOG_WARNING("{}", text);
  } else if (severity == ORT_LOGGING_LEVEL_ERROR || severity == ORT_LOGGING_LEVEL_WARNING) {
    LOG_INFO("ONNX Runtime: {}", text);
  } else {
    LOG_VERBOSE("ONNX Runtime: {}", text);
  }
}

}  // namespace

OrtLoggingLevel to_ort(LogLevel level) {
  switch (level) {
    case LogLevel::kVerbose: return ORT_LOGGING_LEVEL_VERBOSE;
    case LogLevel::kInfo: return ORT_LOGGING_LEVEL_INFO;
    case LogLevel::kWarning: return ORT_LOGGING_LEVEL_WARNING;
    case LogLevel::kError: return ORT_LOGGING_LEVEL_ERROR;
  }
  return ORT_LOGGING_LEVEL_WARNING;
}

void forbid_telemetry() {
  // Nothing is written where it stands already: other threads may read the variables by now.
  if (environment_variable(kForbidsTelemetry) != "1") ::setenv(kForbidsTelemetry, "1", 1);
}

Result<Ort::Env> make_environment(LogLevel level) {
  forbid_telemetry();
  try {
    Ort::Env environment(to_ort(level), "onnx-local", &log_message, nullptr);
    environment.DisableTelemetryEvents();
    return environment;
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("ONNX Runtime does not start", exception));
  }
}

}  // namespace onnxlocal
