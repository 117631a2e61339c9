#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "server/connection.h"
#include "server/generation_response.h"
#include "server/http_parser.h"
#include "server/limits.h"
#include "server/middleware/request_id.h"
#include "server/router.h"
#include "server/worker_pool.h"

namespace onnxlocal {

/// What all sessions of a server share. Outlives them.
struct SessionServices {
  const ServerLimits& limits;
  const std::vector<Route>& routes;
  WorkerPool& workers;
  IdGenerator& ids;
  bool loopback_only = true;  ///< Bound to this machine: foreign hosts and pages are refused.
};

/// One connection: its requests one after the other, as HTTP/1.1 answers them. Network thread only.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(boost::asio::ip::tcp::socket socket, SessionServices services);

  /// Until the connection is closed.
  boost::asio::awaitable<void> run();

  /// Closes an idle connection; a request that is being answered is the last one.
  void drain();
  /// Ends the answer that is being given; its client is told.
  void cancel();
  void close() { connection_->close(); }

 private:
  enum class Phase { kIdle, kHeader, kBody, kAnswer };

  /// Nothing where the connection is to be closed; what there was to say was said.
  boost::asio::awaitable<std::optional<HttpRequest>> read_request();
  /// False where the connection is to be closed.
  boost::asio::awaitable<bool> answer(HttpRequest request);
  boost::asio::awaitable<void> dispatch(Exchange& exchange, std::shared_ptr<HttpRequest> request);
  boost::asio::awaitable<void> refuse(unsigned status, std::string_view message);
  boost::asio::awaitable<bool> welcome_body(const HttpParser& parser);
  Deadline phase_deadline() const;

  SessionServices services_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Wakeup> wakeup_;
  Phase phase_ = Phase::kIdle;
  bool must_linger_ = false;  ///< The client may still be sending.
  bool is_draining_ = false;
  bool is_cancelled_ = false;
};

}  // namespace onnxlocal
