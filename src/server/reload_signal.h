#pragma once

#include <csignal>
#include <functional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace onnxlocal {

/// Calls a function on the network thread at each SIGHUP, until it is destroyed or stopped. Network
/// thread, but for the constructor.
class ReloadSignal {
 public:
  ReloadSignal(boost::asio::io_context& network, std::function<void()> reload)
      : signals_(network, SIGHUP), reload_(std::move(reload)) {
    listen();
  }
  ReloadSignal(const ReloadSignal&) = delete;
  ReloadSignal& operator=(const ReloadSignal&) = delete;

  void stop() {
    boost::system::error_code ignored;
    signals_.clear(ignored);
    signals_.cancel(ignored);
  }

 private:
  void listen() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      reload_();
      listen();
    });
  }

  boost::asio::signal_set signals_;
  std::function<void()> reload_;
};

}  // namespace onnxlocal
