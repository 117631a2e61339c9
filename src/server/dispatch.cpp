#include "server/dispatch.h"

#include <exception>
#include <optional>
#include <utility>

#include "base/log.h"
#include "server/body_stream.h"
#include "server/metered_sink.h"
#include "server/responses.h"

namespace onnxlocal {

namespace asio = boost::asio;

namespace {

/// Handlers return errors; what a library throws all the same ends here.
Reply call_handler(const Route& route, const HttpRequest& request, RequestContext context) {
  const std::string request_id = context.request_id;
  const WireFormat format = wire_format_of(request);
  try {
    return route.handler(request, std::move(context));
  } catch (const std::exception& exception) {
    LOG_ERROR("{} {}: {}", request.method, request.path, exception.what());
    return error_response(format, internal_error("the request could not be handled"), request_id);
  }
}

HttpResponse over_limit(const Exchange& exchange, const RateRefusal& refusal) {
  HttpResponse response =
      status_response(exchange.format, 429, refusal.message, exchange.request_id);
  response.headers.insert(response.headers.end(), refusal.headers.begin(), refusal.headers.end());
  response.headers.push_back({"retry-after", std::to_string(refusal.retry_after_s)});
  response.headers.push_back({"x-should-retry", "true"});
  return response;
}

}  // namespace

asio::awaitable<void> dispatch(Exchange& exchange, const SessionServices& services,
                               std::shared_ptr<HttpRequest> request) {
  const bool with_body = request->method != "HEAD";
  GateVerdict verdict = services.gate.check(*request, exchange.request_id);
  exchange.headers = std::move(verdict.headers);
  RouteMatch match = match_route(services.routes, *request, exchange.request_id);
  if (match.route != nullptr) exchange.route = match.route->pattern;
  if (verdict.refusal || match.route == nullptr) {
    HttpResponse refusal = verdict.refusal ? *std::move(verdict.refusal) : std::move(match.refusal);
    co_await send_response(exchange, std::move(refusal), with_body);
    co_return;
  }
  // Lives until the answer has ended: requests at a time are counted by it.
  std::shared_ptr<Admission> admission;
  if (match.route->method == "POST") {
    auto admitted = services.rate_limiter.admit(verdict.client.digest, verdict.client.limits);
    if (!admitted) {
      HttpResponse refusal = over_limit(exchange, admitted.error());
      co_await send_response(exchange, std::move(refusal), with_body);
      co_return;
    }
    admission = *std::move(admitted);
    for (HttpHeader& header : admission->headers()) exchange.headers.push_back(std::move(header));
  }
  EventSink sink = [inbox = exchange.inbox](GenerationEvent event) {
    inbox->push(std::move(event));
  };
  if (admission) sink = metered(std::move(sink), services.metrics, admission->charge());
  RequestContext context{.request_id = exchange.request_id,
                         .message_id = services.ids.make("msg_"),
                         .client = std::move(verdict.client.digest),
                         .parameter = std::move(match.parameter),
                         .sink = std::move(sink)};
  // In steps: g++ 12 destroys the temporaries of a co_await inside a larger expression twice.
  std::optional<Reply> reply;
  if (match.route->runs_on == RunsOn::kNetwork) {
    reply = call_handler(*match.route, *request, std::move(context));
  } else {
    std::move_only_function<Reply()> work = [route = match.route, request,
                                             context = std::move(context)]() mutable {
      return call_handler(*route, *request, std::move(context));
    };
    reply = co_await run_on_worker<Reply>(services.workers, exchange.wakeup, std::move(work));
  }
  if (!reply) {
    reply = error_response(exchange.format, overloaded("too many requests are waiting"),
                           exchange.request_id);
  }
  if (auto* response = std::get_if<HttpResponse>(&*reply)) {
    co_await send_response(exchange, std::move(*response), with_body);
  } else if (auto* body = std::get_if<BodyStream>(&*reply)) {
    co_await send_body_stream(exchange, std::move(*body), with_body);
  } else {
    co_await send_generation(exchange, std::move(std::get<PendingGeneration>(*reply)));
  }
}

}  // namespace onnxlocal
