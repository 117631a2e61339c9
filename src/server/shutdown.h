#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "server/listener.h"
#include "server/session_registry.h"

namespace onnxlocal {

/// The order in which a server stops; returns when no session is open. Not on the network thread.
///   1. Stop accepting; close idle connections; what is being answered goes on.
///   2. Wait for it, for `drain`.
///   3. Cancel the rest: their clients get an error that says to try again, for `farewell`.
///   4. Close what is still open.
/// True where step 3 was not needed.
bool drain_sessions(boost::asio::io_context& network, Listener& listener, SessionRegistry& sessions,
                    std::chrono::milliseconds drain, std::chrono::milliseconds farewell);

/// SIGINT and SIGTERM while it lives. The first is reported; the second ends the process at once.
class StopSignals {
 public:
  /// `network` must run, or be about to.
  explicit StopSignals(boost::asio::io_context& network);
  /// Gives the signals back. Network thread, or when it has ended.
  void restore();

  /// Waits for the first signal. Not on the network thread.
  void wait();

 private:
  void listen();

  boost::asio::signal_set signals_;
  std::mutex mutex_;
  std::condition_variable came_;
  bool has_come_ = false;  // Guarded by mutex_.
};

}  // namespace onnxlocal
