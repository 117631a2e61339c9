#include "server/listener.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"

namespace onnxlocal {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

/// After a failed accept (no descriptors left): closing sessions give some back.
constexpr std::chrono::milliseconds kAcceptPause{100};

Error bind_error(const std::string& host, std::uint16_t port,
                 const boost::system::error_code& error) {
  return unavailable(fmt::format("cannot listen on {} port {}: {}", host, port, error.message()),
                     "choose another port with --port, or stop what uses this one");
}

}  // namespace

Result<tcp::acceptor> Listener::open(asio::io_context& network, const std::string& host,
                                     std::uint16_t port) {
  boost::system::error_code error;
  tcp::resolver resolver(network);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return std::unexpected(
        invalid_request(fmt::format("the host '{}' does not resolve: {}", host, error.message()),
                        "use an address of this machine, such as 127.0.0.1"));
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor acceptor(network);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return std::unexpected(bind_error(host, port, error));
  return acceptor;
}

Listener::Listener(tcp::acceptor acceptor, SessionServices services, SessionRegistry& sessions)
    : acceptor_(std::move(acceptor)),
      services_(services),
      sessions_(sessions),
      room_(std::make_shared<Wakeup>(acceptor_.get_executor())) {}

asio::awaitable<void> Listener::run() {
  while (!is_closed_) {
    if (sessions_.size() >= services_.limits.connections_max) {
      co_await room_->wait_until(Deadline());
      continue;
    }
    auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
    if (!error) {
      start_session(std::move(socket));
    } else if (!is_closed_) {
      LOG_WARNING("accept: {}", error.message());
      co_await room_->wait_until(Deadline::after(kAcceptPause));
    }
  }
}

void Listener::start_session(tcp::socket socket) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  auto session = std::make_shared<Session>(std::move(socket), services_);
  sessions_.add(session);
  asio::co_spawn(acceptor_.get_executor(), session->run(),
                 [this, session](const std::exception_ptr& failure) {
                   if (failure) LOG_ERROR("a session ended by an exception");
                   session->close();
                   sessions_.remove(session);
                   room_->notify();
                 });
}

void Listener::close() {
  is_closed_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  room_->notify();
}

}  // namespace onnxlocal
