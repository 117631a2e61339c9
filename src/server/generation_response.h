#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "server/connection.h"
#include "server/event_inbox.h"
#include "server/limits.h"
#include "server/reply.h"
#include "server/wakeup.h"
#include "server/worker_pool.h"

namespace onnxlocal {

/// One request that is being answered, and what its answer needs. Network thread only.
struct Exchange {
  Connection& connection;
  WorkerPool& workers;
  const ServerLimits& limits;
  std::shared_ptr<Wakeup> wakeup;
  std::shared_ptr<EventInbox> inbox;
  WireFormat format = WireFormat::kAnthropic;
  std::string request_id;
  std::string_view route = "other";  ///< The pattern that took it, for the metrics.
  bool keep_alive = true;
  bool is_http_1_0 = false;
  const bool& is_cancelled;  ///< Turns true when the server stops; `wakeup` is then notified.
  std::vector<HttpHeader> headers = {};  ///< For whatever head is sent.
  unsigned status = 0;                   ///< What was sent; 0 where the client left before.
};

/// Sends a whole response. `with_body` is false for HEAD.
boost::asio::awaitable<void> send_response(Exchange& exchange, HttpResponse response,
                                           bool with_body);

/// Sends what a generation brings, as one body or as a stream. Where the client leaves, reads too
/// slowly, or the server stops, the generation is cancelled.
/// Trouble before the first token becomes a plain HTTP error; later trouble is told in the stream.
/// A stream is never silent for longer than `limits.ping` once its headers are out.
boost::asio::awaitable<void> send_generation(Exchange& exchange, PendingGeneration generation);

}  // namespace onnxlocal
