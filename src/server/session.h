#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "server/connection.h"
#include "server/generation_response.h"
#include "server/http_parser.h"
#include "server/services.h"

namespace onnxlocal {

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
  boost::asio::awaitable<void> respond(Exchange& exchange, std::shared_ptr<HttpRequest> request);
  boost::asio::awaitable<void> refuse(unsigned status, std::string_view message);
  boost::asio::awaitable<void> refuse(HttpResponse response, std::string_view request_id);
  /// False where the header alone refuses the request; what there was to say was said.
  boost::asio::awaitable<bool> welcome_body(const HttpParser& parser);
  std::size_t body_bytes_max(const HttpRequest& head) const;
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
