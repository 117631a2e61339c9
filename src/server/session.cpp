#include "server/session.h"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <utility>

#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "server/dispatch.h"
#include "server/event_inbox.h"
#include "server/responses.h"

namespace onnxlocal {

namespace asio = boost::asio;

namespace {

constexpr std::string_view kBatchesPath = "/v1/messages/batches";
/// How the metrics count a request whose client left before an answer, as nginx writes it.
constexpr unsigned kClientLeft = 499;

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

std::size_t Session::body_bytes_max(const HttpRequest& head) const {
  return head.path == kBatchesPath ? services_.limits.batch_bytes_max
                                   : services_.limits.body_bytes_max;
}

asio::awaitable<std::optional<HttpRequest>> Session::read_request() {
  HttpParser parser(services_.limits);
  std::string& input = connection_->input();
  phase_ = Phase::kIdle;
  Deadline deadline = phase_deadline();
  bool is_welcome = false;
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
        const auto limited = parser.limit_body(body_bytes_max(parser.head()));
        if (!limited) {
          co_await refuse(limited.error().status, limited.error().message);
          co_return std::nullopt;
        }
        if (!input.empty()) continue;
      }
    }
    if (phase_ == Phase::kBody && !is_welcome) {
      is_welcome = co_await welcome_body(parser);
      if (!is_welcome) co_return std::nullopt;
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
  const std::string request_id = services_.ids.make("req_");
  const GateVerdict verdict = services_.gate.check(parser.head(), request_id);
  if (verdict.refusal) {
    HttpResponse response = *verdict.refusal;
    response.headers.insert(response.headers.end(), verdict.headers.begin(), verdict.headers.end());
    co_await refuse(std::move(response), request_id);
    co_return false;
  }
  if (!parser.expects_continue() || !connection_->input().empty()) co_return true;
  const bool sent = co_await connection_->write("HTTP/1.1 100 Continue\r\n\r\n");
  co_return sent;
}

asio::awaitable<void> Session::refuse(unsigned status, std::string_view message) {
  const std::string request_id = services_.ids.make("req_");
  HttpResponse response = status_response(WireFormat::kAnthropic, status, message, request_id);
  co_await refuse(std::move(response), request_id);
}

asio::awaitable<void> Session::refuse(HttpResponse response, std::string_view request_id) {
  must_linger_ = true;
  response.headers.push_back({"request-id", std::string(request_id)});
  services_.metrics->count_request("other", "other", response.status);
  LOG_INFO("{} before the whole request was there {}", response.status, request_id);
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
  co_await respond(exchange, shared_request);
  co_await connection_->stop_watch();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  services_.metrics->count_request(shared_request->method, exchange.route,
                                   exchange.status == 0 ? kClientLeft : exchange.status);
  LOG_INFO("{} {} {} {:.3f} s {}", shared_request->method, shared_request->path,
           exchange.status == 0 ? "client left" : std::to_string(exchange.status), seconds.count(),
           exchange.request_id);
  co_return exchange.keep_alive && !connection_->is_gone();
}

asio::awaitable<void> Session::respond(Exchange& exchange, std::shared_ptr<HttpRequest> request) {
  if (is_draining_) {
    HttpResponse response =
        error_response(exchange.format, unavailable("the server is stopping"), exchange.request_id);
    co_await send_response(exchange, std::move(response), request->method != "HEAD");
    co_return;
  }
  asio::steady_timer timer(wakeup_->executor());
  const auto limit = services_.limits.total;
  if (limit.count() > 0) {
    timer.expires_after(limit);
    // A failed generation, like any other: the answer ends, and what still runs is cancelled.
    timer.async_wait([inbox = exchange.inbox, limit](const boost::system::error_code& error) {
      if (error) return;
      inbox->push(GenerationFailed{
          timed_out(fmt::format("the request took longer than {} ms", limit.count()))});
    });
  }
  co_await dispatch(exchange, services_, std::move(request));
}

}  // namespace onnxlocal
