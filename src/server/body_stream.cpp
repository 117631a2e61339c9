#include "server/body_stream.h"

#include <memory>
#include <string>
#include <utility>

#include "base/log.h"

namespace onnxlocal {

namespace asio = boost::asio;

namespace {

using NextPart = std::move_only_function<Result<std::string>()>;

}  // namespace

asio::awaitable<void> send_body_stream(Exchange& exchange, BodyStream stream, bool with_body) {
  const BodyFraming framing = exchange.is_http_1_0 ? BodyFraming::kToClose : BodyFraming::kChunked;
  if (exchange.is_http_1_0) exchange.keep_alive = false;
  HttpResponse head;
  head.content_type = stream.content_type;
  head.headers = std::move(exchange.headers);
  head.headers.push_back({"request-id", exchange.request_id});
  exchange.status = head.status;
  std::string bytes = serialize_head(head, framing, exchange.keep_alive);
  const auto next = std::make_shared<NextPart>(std::move(stream.next));
  std::string part = with_body ? std::move(stream.first) : std::string();
  while (!part.empty()) {
    bytes += framing == BodyFraming::kChunked ? to_chunk(part) : part;
    const bool sent = co_await exchange.connection.write(bytes);
    if (!sent || exchange.is_cancelled) {
      exchange.keep_alive = false;
      co_return;
    }
    bytes.clear();
    std::move_only_function<Result<std::string>()> work = [next] { return (*next)(); };
    auto following = co_await run_on_worker<Result<std::string>>(exchange.workers, exchange.wakeup,
                                                                 std::move(work));
    if (!following || !*following) {
      LOG_WARNING("{}: a body was cut: {}", exchange.request_id,
                  following ? following->error().message : "too many requests are waiting");
      exchange.keep_alive = false;
      co_return;
    }
    part = **std::move(following);
  }
  if (with_body && framing == BodyFraming::kChunked) bytes += to_chunk({});
  if (!bytes.empty()) static_cast<void>(co_await exchange.connection.write(bytes));
}

}  // namespace onnxlocal
