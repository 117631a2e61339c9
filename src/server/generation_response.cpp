#include "server/generation_response.h"

#include <utility>
#include <variant>
#include <vector>

#include "server/responses.h"

namespace onnxlocal {

namespace asio = boost::asio;

namespace {

Error stopping() { return unavailable("the server is stopping", "try again in a moment"); }

bool must_end(const Exchange& exchange) {
  return exchange.connection.is_gone() || exchange.is_cancelled;
}

/// Waits for events until the deadline; none where the client left or the server stops.
asio::awaitable<std::vector<GenerationEvent>> next_events(Exchange& exchange, Deadline deadline) {
  while (exchange.inbox->is_empty() && !must_end(exchange) && !deadline.has_passed()) {
    co_await exchange.wakeup->wait_until(deadline);
  }
  if (must_end(exchange)) co_return std::vector<GenerationEvent>();
  co_return exchange.inbox->take_all();
}

/// An answer in server-sent events, from its head to its last chunk.
class StreamResponse {
 public:
  StreamResponse(Exchange& exchange, anthropic::MessageIdentity identity)
      : exchange_(exchange),
        encoder_(std::move(identity)),
        framing_(exchange.is_http_1_0 ? BodyFraming::kToClose : BodyFraming::kChunked) {}

  void begin() {
    HttpResponse response;
    response.content_type = "text/event-stream; charset=utf-8";
    response.headers = {{"request-id", exchange_.request_id}, {"cache-control", "no-cache"}};
    exchange_.status = response.status;
    if (exchange_.is_http_1_0) exchange_.keep_alive = false;
    unsent_ = serialize_head(response, framing_, exchange_.keep_alive);
  }

  anthropic::StreamEncoder& encoder() { return encoder_; }

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
    bool is_last = false;
    for (const GenerationEvent& event : events) {
      bytes += encoder_.encode(event);
      is_last = std::holds_alternative<GenerationFinished>(event) ||
                std::holds_alternative<GenerationFailed>(event);
    }
    add(bytes);
    return is_last;
  }

  void end() {
    if (framing_ == BodyFraming::kChunked) unsent_ += to_chunk({});
  }

  asio::awaitable<bool> flush() {
    const std::string bytes = std::exchange(unsent_, {});
    if (bytes.empty()) co_return true;
    const bool sent = co_await exchange_.connection.write(bytes);
    co_return sent;
  }

 private:
  Exchange& exchange_;
  anthropic::StreamEncoder encoder_;
  BodyFraming framing_;
  std::string unsent_;
};

/// Sends events until the last one.
asio::awaitable<void> pump(Exchange& exchange, StreamResponse& stream,
                           std::vector<GenerationEvent> events) {
  bool is_last = stream.add(events);
  while (!is_last) {
    const bool sent = co_await stream.flush();
    if (!sent) co_return;
    events = co_await next_events(exchange, Deadline::after(exchange.limits.ping));
    if (exchange.connection.is_gone()) co_return;
    if (exchange.is_cancelled) {
      stream.add(anthropic::stream_error(stopping(), exchange.request_id));
      is_last = true;
    } else if (events.empty()) {
      stream.add(anthropic::StreamEncoder::ping());
    } else {
      is_last = stream.add(events);
    }
  }
  stream.end();
  static_cast<void>(co_await stream.flush());
}

asio::awaitable<std::uint32_t> count_prompt(Exchange& exchange, PendingGeneration& generation) {
  auto counted = co_await run_on_worker<Result<std::uint32_t>>(exchange.workers, exchange.wakeup,
                                                               std::move(generation.count_prompt));
  // No count is no reason to fail: the end of the stream has the true one.
  co_return counted ? counted->value_or(0) : 0;
}

asio::awaitable<void> send_stream(Exchange& exchange, PendingGeneration& generation) {
  std::vector<GenerationEvent> events =
      co_await next_events(exchange, Deadline::after(exchange.limits.early_headers));
  if (exchange.connection.is_gone()) co_return;
  if (exchange.is_cancelled) {
    HttpResponse response = error_response(stopping(), exchange.request_id);
    co_await send_response(exchange, std::move(response), true);
    co_return;
  }
  if (!events.empty()) {
    if (const auto* failed = std::get_if<GenerationFailed>(&events.front())) {
      HttpResponse response = error_response(failed->error, exchange.request_id);
      co_await send_response(exchange, std::move(response), true);
      co_return;
    }
  }
  StreamResponse stream(exchange, generation.identity);
  std::uint32_t prompt_tokens = 0;
  if (events.empty()) prompt_tokens = co_await count_prompt(exchange, generation);
  stream.begin();
  if (events.empty()) stream.add(stream.encoder().start_early(prompt_tokens));
  co_await pump(exchange, stream, std::move(events));
}

asio::awaitable<void> send_message(Exchange& exchange, PendingGeneration& generation) {
  anthropic::MessageBuilder message(generation.identity);
  while (true) {
    const std::vector<GenerationEvent> events = co_await next_events(exchange, Deadline());
    if (exchange.connection.is_gone()) co_return;
    HttpResponse response;
    bool is_last = false;
    if (exchange.is_cancelled) {
      response = error_response(stopping(), exchange.request_id);
      is_last = true;
    }
    for (const GenerationEvent& event : events) {
      if (const auto* delta = std::get_if<GenerationDelta>(&event)) {
        message.add(*delta);
      } else if (const auto* finished = std::get_if<GenerationFinished>(&event)) {
        response = json_response(message.finish(*finished));
        is_last = true;
      } else if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
        response = error_response(failed->error, exchange.request_id);
        is_last = true;
      }
    }
    if (is_last) {
      co_await send_response(exchange, std::move(response), true);
      co_return;
    }
  }
}

}  // namespace

asio::awaitable<void> send_response(Exchange& exchange, HttpResponse response, bool with_body) {
  response.headers.push_back({"request-id", exchange.request_id});
  exchange.status = response.status;
  std::string bytes = serialize_head(response, BodyFraming::kLength, exchange.keep_alive);
  if (with_body) bytes += response.body;
  static_cast<void>(co_await exchange.connection.write(bytes));
}

asio::awaitable<void> send_generation(Exchange& exchange, PendingGeneration generation) {
  if (generation.stream) {
    co_await send_stream(exchange, generation);
  } else {
    co_await send_message(exchange, generation);
  }
}

}  // namespace onnxlocal
