#include "server/routes.h"

#include <utility>

#include "server/handlers/health.h"
#include "server/handlers/messages.h"
#include "server/handlers/models.h"

namespace onnxlocal {

std::vector<Route> make_routes(std::shared_ptr<Provider> provider,
                               std::chrono::steady_clock::time_point started) {
  const Handler create = [provider](const HttpRequest& request, RequestContext context) {
    return create_message(provider, request, std::move(context));
  };
  const Handler count = [provider](const HttpRequest& request, const RequestContext& context) {
    return count_message_tokens(*provider, request, context);
  };
  const Handler list = [provider](const HttpRequest& request, const RequestContext& context) {
    return list_models(*provider, request, context);
  };
  const Handler retrieve = [provider](const HttpRequest&, const RequestContext& context) {
    return retrieve_model(*provider, context);
  };
  const Handler health = [provider, started](const HttpRequest&, const RequestContext&) {
    return report_health(*provider, started);
  };
  const Handler hello = [](const HttpRequest&, const RequestContext&) { return say_hello(); };

  return {
      {"POST", "/v1/messages", RunsOn::kWorker, create},
      {"POST", "/v1/messages/count_tokens", RunsOn::kWorker, count},
      {"GET", "/v1/models", RunsOn::kNetwork, list},
      {"GET", "/v1/models/{id}", RunsOn::kNetwork, retrieve},
      {"GET", "/health", RunsOn::kNetwork, health},
      {"GET", "/api/hello", RunsOn::kNetwork, hello},
      {"GET", "/", RunsOn::kNetwork, hello},
  };
}

}  // namespace onnxlocal
