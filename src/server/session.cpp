#include "server/session.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <utility>

#include "base/log.h"
#include "server/event_inbox.h"
#include "server/middleware/host_check.h"
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

/// Ends the generation however the answer to it ended.
struct InboxCloser {
  std::shared_ptr<EventInbox> inbox;
  ~InboxCloser() { inbox->close(); }
};

}  // namespace

Session::Session(asio::ip::tcp::socket socket, SessionServices services)
    : services_(services),
      connection_(std::make_shared<Connection>(std::move(socket), services.limits)),
      wakeup_(nullptr) {}

asio::awaitable<void> Session::run() {
  const auto self = shared_from_this();
  const auto executor = co_await asio::this_coro::executor;
  wakeup_ = std::make_shared<Wakeup>(executor);
  bool goes_on = true;
  while (goes_on && !is_draining_) {
    std::optional<HttpRequest> request = co_await read_request();
    if (!request) break;
    goes_on = co_await answer(std::move(*request));
  }
  phase_ = Phase::kIdle;
  if (must_linger_ && !connection_->is_gone()) {
    co_await connection_->linger(Deadline::after(services_.limits.linger));
  }
  connection_->close();
}

void Session::drain() {
  is_draining_ = true;
  if (phase_ == Phase::kIdle) connection_->cancel_read();
}

void Session::cancel() {
  is_cancelled_ = true;
  if (wakeup_) wakeup_->notify();
  if (phase_ != Phase::kAnswer) connection_->cancel_read();
}

Deadline Session::phase_deadline() const {
  switch (phase_) {
    case Phase::kIdle: return Deadline::after(services_.limits.idle);
    case Phase::kHeader: return Deadline::after(services_.limits.header);
    case Phase::kBody:
    case Phase::kAnswer: return Deadline::after(services_.limits.body);
  }
  return Deadline();
}

asio::awaitable<std::optional<HttpRequest>> Session::read_request() {
  HttpParser parser(services_.limits);
  std::string& input = connection_->input();
  phase_ = Phase::kIdle;
  Deadline deadline = phase_deadline();
  while (true) {
    if (!input.empty()) {
      if (phase_ == Phase::kIdle) {
        phase_ = Phase::kHeader;
        deadline = phase_deadline();
      }
      const auto taken = parser.consume(input);
      if (!taken) {
        co_await refuse(taken.error().status, taken.error().message);
        co_return std::nullopt;
      }
      input.erase(0, *taken);
      if (parser.is_done()) co_return parser.take();
      if (phase_ == Phase::kHeader && parser.has_header()) {
        phase_ = Phase::kBody;
        deadline = phase_deadline();
        const bool welcome = co_await welcome_body(parser);
        if (!welcome) co_return std::nullopt;
      }
    }
    const ReadOutcome outcome = co_await connection_->read(deadline);
    if (outcome == ReadOutcome::kData) continue;
    if (outcome == ReadOutcome::kTimeout && phase_ != Phase::kIdle) {
      co_await refuse(408, "the request did not come in time");
    }
    co_return std::nullopt;
  }
}

asio::awaitable<bool> Session::welcome_body(const HttpParser& parser) {
  if (!parser.expects_continue() || !connection_->input().empty()) co_return true;
  const bool sent = co_await connection_->write("HTTP/1.1 100 Continue\r\n\r\n");
  co_return sent;
}

asio::awaitable<void> Session::refuse(unsigned status, std::string_view message) {
  must_linger_ = true;
  const std::string request_id = services_.ids.make("req_");
  HttpResponse response = status_response(WireFormat::kAnthropic, status, message, request_id);
  response.headers.push_back({"request-id", request_id});
  LOG_INFO("{} {} {}", status, message, request_id);
  const std::string bytes = serialize_head(response, BodyFraming::kLength, false) + response.body;
  static_cast<void>(co_await connection_->write(bytes));
}

asio::awaitable<bool> Session::answer(HttpRequest request) {
  const auto started = std::chrono::steady_clock::now();
  phase_ = Phase::kAnswer;
  auto shared_request = std::make_shared<HttpRequest>(std::move(request));
  Exchange exchange{.connection = *connection_,
                    .workers = services_.workers,
                    .limits = services_.limits,
                    .wakeup = wakeup_,
                    .inbox = std::make_shared<EventInbox>(wakeup_->notifier()),
                    .format = wire_format_of(*shared_request),
                    .request_id = services_.ids.make("req_"),
                    .keep_alive = shared_request->keep_alive && !is_draining_,
                    .is_http_1_0 = shared_request->is_http_1_0,
                    .is_cancelled = is_cancelled_};
  const InboxCloser closer{exchange.inbox};
  connection_->start_watch(wakeup_);
  co_await dispatch(exchange, shared_request);
  co_await connection_->stop_watch();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  LOG_INFO("{} {} {} {:.3f} s {}", shared_request->method, shared_request->path,
           exchange.status == 0 ? "client left" : std::to_string(exchange.status), seconds.count(),
           exchange.request_id);
  co_return exchange.keep_alive && !connection_->is_gone();
}

asio::awaitable<void> Session::dispatch(Exchange& exchange, std::shared_ptr<HttpRequest> request) {
  const bool with_body = request->method != "HEAD";
  if (is_draining_) {
    HttpResponse response =
        error_response(exchange.format, unavailable("the server is stopping"), exchange.request_id);
    co_await send_response(exchange, std::move(response), with_body);
    co_return;
  }
  const auto foreign = services_.loopback_only ? foreign_host(*request) : std::nullopt;
  if (foreign) {
    HttpResponse response = status_response(exchange.format, 403, *foreign, exchange.request_id);
    co_await send_response(exchange, std::move(response), with_body);
    co_return;
  }
  RouteMatch match = match_route(services_.routes, *request, exchange.request_id);
  if (match.route == nullptr) {
    co_await send_response(exchange, std::move(match.refusal), with_body);
    co_return;
  }
  RequestContext context{
      .request_id = exchange.request_id,
      .message_id = services_.ids.make("msg_"),
      .parameter = std::move(match.parameter),
      .sink = [inbox = exchange.inbox](GenerationEvent event) { inbox->push(std::move(event)); }};
  std::optional<Reply> reply;
  if (match.route->runs_on == RunsOn::kNetwork) {
    reply = call_handler(*match.route, *request, std::move(context));
  } else {
    std::move_only_function<Reply()> work = [route = match.route, request,
                                             context = std::move(context)]() mutable {
      return call_handler(*route, *request, std::move(context));
    };
    reply = co_await run_on_worker<Reply>(services_.workers, wakeup_, std::move(work));
  }
  if (!reply) {
    reply = error_response(exchange.format, overloaded("too many requests are waiting"),
                           exchange.request_id);
  }
  if (auto* response = std::get_if<HttpResponse>(&*reply)) {
    co_await send_response(exchange, std::move(*response), with_body);
  } else {
    co_await send_generation(exchange, std::move(std::get<PendingGeneration>(*reply)));
  }
}

}  // namespace onnxlocal
