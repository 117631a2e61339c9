#include "server/handlers/health.h"

#include <string_view>

#include "base/environment.h"
#include "base/json.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

std::string_view to_text(ProviderStatus::State state) {
  switch (state) {
    case ProviderStatus::State::kLoading: return "loading";
    case ProviderStatus::State::kReady: return "ready";
    case ProviderStatus::State::kFailed: return "failed";
  }
  return "failed";
}

json::value failure_of(const ProviderStatus& status) {
  if (status.state != ProviderStatus::State::kFailed) return nullptr;
  return json::object{{"code", to_string(status.failure.code)},
                      {"message", status.failure.message},
                      {"hint", status.failure.hint}};
}

}  // namespace

Reply report_health(const Provider& provider, std::chrono::steady_clock::time_point started) {
  const ProviderStatus status = provider.status();
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started);
  json::array execution_providers;
  if (!status.execution_provider.empty()) {
    execution_providers.emplace_back(status.execution_provider);
  }
  json::array warnings;
  for (const std::string& warning : status.warnings) warnings.emplace_back(warning);
  const json::object body{
      {"status", to_text(status.state)},
      {"model", status.model},
      {"providers", std::move(execution_providers)},
      {"failure", failure_of(status)},
      {"warnings", std::move(warnings)},
      {"uptime_s", uptime.count()},
      {"queue",
       json::object{
           {"queued", status.queued}, {"running", status.running}, {"slots", status.slots}}},
      {"memory", json::object{{"resident_bytes", resident_memory_bytes()},
                              {"kv_bytes_in_use", status.kv_bytes_in_use},
                              {"prefix_cache_bytes", status.prefix_cache_bytes}}},
      {"version", ONNXLOCAL_VERSION}};
  const bool is_ready = status.state == ProviderStatus::State::kReady;
  return json_response(json::serialize(body), is_ready ? 200 : 503);
}

Reply report_ready(const Provider& provider, const RequestContext& context) {
  const ProviderStatus status = provider.status();
  if (status.state == ProviderStatus::State::kReady) {
    return json_response(json::serialize(json::object{{"status", "ready"}}));
  }
  const bool is_loading = status.state == ProviderStatus::State::kLoading;
  return error_response(is_loading ? unavailable("the model is loading")
                                   : unavailable("the model failed: see /health"),
                        context.request_id);
}

Reply report_metrics(const Provider& provider, const Metrics& metrics) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics.to_text(provider.status());
  return response;
}

Reply say_hello() {
  return json_response(json::serialize(
      json::object{{"name", "onnx-local"}, {"version", ONNXLOCAL_VERSION}, {"health", "/health"}}));
}

}  // namespace onnxlocal
