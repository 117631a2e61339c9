#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/result.h"
#include "server/session.h"
#include "server/session_registry.h"

namespace onnxlocal {

/// Accepts connections and starts their sessions. Network thread, but for `open`.
class Listener {
 public:
  /// Binds. Errors: invalid_request (the host does not resolve), unavailable (the port is taken, or
  /// may not be bound).
  static Result<boost::asio::ip::tcp::acceptor> open(boost::asio::io_context& network,
                                                     const std::string& host, std::uint16_t port);

  Listener(boost::asio::ip::tcp::acceptor acceptor, SessionServices services,
           SessionRegistry& sessions);

  /// Until `close`.
  boost::asio::awaitable<void> run();
  void close();

 private:
  void start_session(boost::asio::ip::tcp::socket socket);

  boost::asio::ip::tcp::acceptor acceptor_;
  SessionServices services_;
  SessionRegistry& sessions_;
  std::shared_ptr<Wakeup> room_;  ///< Notified when a session ends, or the listener closes.
  bool is_closed_ = false;
};

}  // namespace onnxlocal
