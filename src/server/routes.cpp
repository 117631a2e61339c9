#include "server/routes.h"

#include <utility>

#include "server/handlers/batches.h"
#include "server/handlers/health.h"
#include "server/handlers/messages.h"
#include "server/handlers/models.h"
#include "server/handlers/openai.h"
#include "server/handlers/openai_embeddings.h"
#include "server/handlers/openai_responses.h"

namespace onnxlocal {

namespace {

/// Those of a batch's parts before those of a batch.
void add_batch_routes(std::vector<Route>& routes, const std::shared_ptr<BatchRunner>& batches) {
  const auto handler = [&batches](Reply (*handle)(BatchRunner&, const HttpRequest&,
                                                  const RequestContext&)) -> Handler {
    return [batches, handle](const HttpRequest& request, const RequestContext& context) {
      return handle(*batches, request, context);
    };
  };
  const auto add = [&routes](std::string_view method, std::string_view pattern, Handler handler) {
    routes.push_back({method, pattern, RunsOn::kWorker, std::move(handler)});
  };
  add("POST", "/v1/messages/batches", handler(create_batch));
  add("GET", "/v1/messages/batches", handler(list_batches));
  add("POST", "/v1/messages/batches/{id}/cancel", handler(cancel_batch));
  add("GET", "/v1/messages/batches/{id}/results", handler(stream_batch_results));
  add("GET", "/v1/messages/batches/{id}", handler(retrieve_batch));
  add("DELETE", "/v1/messages/batches/{id}", handler(delete_batch));
}

}  // namespace

std::vector<Route> make_routes(const RouteParts& parts) {
  const Models& models = parts.models;
  const Handler create = [models](const HttpRequest& request, RequestContext context) {
    return create_message(models, request, std::move(context));
  };
  const Handler count = [models](const HttpRequest& request, const RequestContext& context) {
    return count_message_tokens(models, request, context);
  };
  const Handler chat = [models](const HttpRequest& request, RequestContext context) {
    return create_chat_completion(models, request, std::move(context));
  };
  const Handler complete = [models](const HttpRequest& request, RequestContext context) {
    return create_completion(models, request, std::move(context));
  };
  const Handler embed = [models](const HttpRequest& request, RequestContext context) {
    return create_embeddings(models, request, std::move(context));
  };
  const auto store = std::make_shared<ResponseStore>();
  const Handler respond = [models, store](const HttpRequest& request, RequestContext context) {
    return create_response(models, store, request, std::move(context));
  };
  const Handler retrieve_answer = [store](const HttpRequest& request,
                                          const RequestContext& context) {
    return retrieve_response(*store, request, context);
  };
  const Handler delete_answer = [store](const HttpRequest& request, const RequestContext& context) {
    return delete_response(*store, request, context);
  };
  const Handler list = [models](const HttpRequest& request, const RequestContext& context) {
    return list_models(models, request, context);
  };
  const Handler retrieve = [models](const HttpRequest& request, const RequestContext& context) {
    return retrieve_model(models, request, context);
  };
  const Handler health = [models, started = parts.started](const HttpRequest&,
                                                           const RequestContext&) {
    return report_health(*models.provider, started);
  };
  const Handler ready = [models](const HttpRequest&, const RequestContext& context) {
    return report_ready(*models.provider, context);
  };
  const Handler metrics = [models, metrics = parts.metrics](const HttpRequest&,
                                                            const RequestContext&) {
    return report_metrics(*models.provider, *metrics);
  };
  const Handler hello = [](const HttpRequest&, const RequestContext&) { return say_hello(); };

  std::vector<Route> routes = {
      {"POST", "/v1/messages", RunsOn::kWorker, create},
      {"POST", "/v1/messages/count_tokens", RunsOn::kWorker, count},
      {"POST", "/v1/chat/completions", RunsOn::kWorker, chat},
      {"POST", "/v1/completions", RunsOn::kWorker, complete},
      {"POST", "/v1/embeddings", RunsOn::kWorker, embed},
      {"POST", "/v1/responses", RunsOn::kWorker, respond},
      {"GET", "/v1/responses/{id}", RunsOn::kNetwork, retrieve_answer},
      {"DELETE", "/v1/responses/{id}", RunsOn::kNetwork, delete_answer},
      {"GET", "/v1/models", RunsOn::kNetwork, list},
      {"GET", "/v1/models/{id}", RunsOn::kNetwork, retrieve},
      {"GET", "/health", RunsOn::kNetwork, health},
      {"GET", "/ready", RunsOn::kNetwork, ready},
      {"GET", "/metrics", RunsOn::kNetwork, metrics},
      {"GET", "/api/hello", RunsOn::kNetwork, hello},
      {"GET", "/", RunsOn::kNetwork, hello},
  };
  if (parts.batches) add_batch_routes(routes, parts.batches);
  return routes;
}

}  // namespace onnxlocal
