#include "server/generation_response.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>
#include <vector>

#include "server/generation_headers.h"
#include "server/responses.h"

namespace onnxlocal {

namespace asio = boost::asio;

namespace {

Error stopping() { return unavailable("the server is stopping", "try again in a moment"); }

bool must_end(const Exchange& exchange) {
  return exchange.connection.is_gone() || exchange.is_cancelled;
}

std::string_view request_id_header(WireFormat format) {
  return format == WireFormat::kOpenAi ? "x-request-id" : "request-id";
}

/// Waits for events until the deadline; none where the client left or the server stops. All events
/// of all generations pass here.
asio::awaitable<std::vector<GenerationEvent>> next_events(Exchange& exchange, Deadline deadline) {
  while (exchange.inbox->is_empty() && !must_end(exchange) && !deadline.has_passed()) {
    co_await exchange.wakeup->wait_until(deadline);
  }
  if (must_end(exchange)) co_return std::vector<GenerationEvent>();
  co_return exchange.inbox->take_all();
}

bool is_last(const GenerationEvent& event) {
  return std::holds_alternative<GenerationFinished>(event) ||
         std::holds_alternative<GenerationFailed>(event);
}

asio::awaitable<void> send_error(Exchange& exchange, const ResponseEncoder& encoder, Error error) {
  HttpResponse response = to_response(encoder.error_reply(error));
  co_await send_response(exchange, std::move(response), true);
}

/// An answer in server-sent events, from its head to its last chunk.
class StreamResponse {
 public:
  StreamResponse(Exchange& exchange, ResponseEncoder& encoder)
      : exchange_(exchange),
        encoder_(encoder),
        framing_(exchange.is_http_1_0 ? BodyFraming::kToClose : BodyFraming::kChunked) {}

  void begin() {
    HttpResponse response;
    response.content_type = "text/event-stream; charset=utf-8";
    response.headers = exchange_.headers;
    response.headers.push_back(
        {std::string(request_id_header(exchange_.format)), exchange_.request_id});
    response.headers.push_back({"cache-control", "no-cache"});
    exchange_.status = response.status;
    if (exchange_.is_http_1_0) exchange_.keep_alive = false;
    unsent_ = serialize_head(response, framing_, exchange_.keep_alive);
  }

  void add(std::string_view bytes) {
    if (bytes.empty()) return;
    if (framing_ == BodyFraming::kChunked) {
      unsent_ += to_chunk(bytes);
    } else {
      unsent_ += bytes;
    }
  }

  /// True where that was the last event.
  bool add(const std::vector<GenerationEvent>& events) {
    std::string bytes;
    bool has_last = false;
    for (const GenerationEvent& event : events) {
      bytes += encoder_.encode(event);
      has_last = has_last || is_last(event);
    }
    add(bytes);
    return has_last;
  }

  void end() {
    if (framing_ == BodyFraming::kChunked) unsent_ += to_chunk({});
  }

  /// When the silence has lasted long enough. Events alone do not break it: many have no bytes.
  Deadline ping_due() const { return ping_due_; }

  asio::awaitable<bool> flush() {
    const std::string bytes = std::exchange(unsent_, {});
    if (bytes.empty()) co_return true;
    const bool sent = co_await exchange_.connection.write(bytes);
    ping_due_ = Deadline::after(exchange_.limits.ping);
    co_return sent;
  }

 private:
  Exchange& exchange_;
  ResponseEncoder& encoder_;
  BodyFraming framing_;
  std::string unsent_;
  Deadline ping_due_;
};

/// Sends events until the last one.
asio::awaitable<void> pump(Exchange& exchange, ResponseEncoder& encoder, StreamResponse& stream,
                           std::vector<GenerationEvent> events) {
  bool has_last = stream.add(events);
  while (!has_last) {
    const bool sent = co_await stream.flush();
    if (!sent) co_return;
    if (stream.ping_due().has_passed()) stream.add(encoder.ping());
    events = co_await next_events(exchange, stream.ping_due());
    if (exchange.connection.is_gone()) co_return;
    if (exchange.is_cancelled) {
      stream.add(encoder.encode(GenerationFailed{stopping()}));
      has_last = true;
    } else {
      has_last = stream.add(events);
    }
  }
  stream.end();
  static_cast<void>(co_await stream.flush());
}

/// What is known by now: before its first step, the length of the prompt alone.
asio::awaitable<Usage> prompt_usage(Exchange& exchange, PendingGeneration& generation) {
  if (!generation.count_prompt) co_return Usage{};
  if (const auto known = generation.active.prompt_usage()) co_return *known;
  auto counted = co_await run_on_worker<Result<std::uint32_t>>(exchange.workers, exchange.wakeup,
                                                               std::move(generation.count_prompt));
  // No count is no reason to fail: the end of the stream has the true one.
  co_return Usage{.input_tokens = counted ? counted->value_or(0) : 0};
}

asio::awaitable<void> send_stream(Exchange& exchange, PendingGeneration& generation) {
  ResponseEncoder& encoder = *generation.encoder;
  std::vector<GenerationEvent> events =
      co_await next_events(exchange, Deadline::after(exchange.limits.early_headers));
  if (exchange.connection.is_gone()) co_return;
  if (exchange.is_cancelled) {
    co_await send_error(exchange, encoder, stopping());
    co_return;
  }
  if (!events.empty()) {
    if (const auto* failed = std::get_if<GenerationFailed>(&events.front())) {
      co_await send_error(exchange, encoder, failed->error);
      co_return;
    }
  }
  if (!events.empty()) add_headers_of(events.front(), exchange.headers);
  StreamResponse stream(exchange, encoder);
  Usage usage;
  if (events.empty()) usage = co_await prompt_usage(exchange, generation);
  stream.begin();
  if (events.empty()) stream.add(encoder.start_early(usage));
  co_await pump(exchange, encoder, stream, std::move(events));
}

asio::awaitable<void> send_body(Exchange& exchange, ResponseEncoder& encoder) {
  while (true) {
    const std::vector<GenerationEvent> events = co_await next_events(exchange, Deadline());
    if (exchange.connection.is_gone()) co_return;
    if (exchange.is_cancelled) {
      co_await send_error(exchange, encoder, stopping());
      co_return;
    }
    for (const GenerationEvent& event : events) {
      if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
        co_await send_error(exchange, encoder, failed->error);
        co_return;
      }
      add_headers_of(event, exchange.headers);
      std::string body = encoder.encode(event);
      if (!is_last(event)) continue;
      co_await send_response(exchange, json_response(std::move(body)), true);
      co_return;
    }
  }
}

}  // namespace

asio::awaitable<void> send_response(Exchange& exchange, HttpResponse response, bool with_body) {
  response.headers.push_back(
      {std::string(request_id_header(exchange.format)), exchange.request_id});
  std::ranges::copy(exchange.headers, std::back_inserter(response.headers));
  exchange.status = response.status;
  std::string bytes = serialize_head(response, BodyFraming::kLength, exchange.keep_alive);
  if (with_body) bytes += response.body;
  static_cast<void>(co_await exchange.connection.write(bytes));
}

asio::awaitable<void> send_generation(Exchange& exchange, PendingGeneration generation) {
  if (generation.encoder->is_stream()) {
    co_await send_stream(exchange, generation);
  } else {
    co_await send_body(exchange, *generation.encoder);
  }
}

}  // namespace onnxlocal
