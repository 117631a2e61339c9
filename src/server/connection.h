#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/deadline.h"
#include "server/limits.h"
#include "server/wakeup.h"

namespace onnxlocal {

enum class ReadOutcome { kData, kEnd, kTimeout, kCancelled };

/// A client's socket, where every wait has an end, and what was read and not yet used. Network
/// thread only; its coroutines keep it alive.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, const ServerLimits& limits);

  /// Bytes that were read; who uses some erases them.
  std::string& input() { return input_; }

  /// Appends to the input.
  boost::asio::awaitable<ReadOutcome> read(Deadline deadline);
  /// Ends a `read` that waits, with kCancelled.
  void cancel_read();

  /// Sends all, within `limits.write`. False where the client is gone, or reads too slowly: the
  /// socket is then closed. `bytes` must live until it returns.
  boost::asio::awaitable<bool> write(std::string_view bytes);

  /// Goes on reading while a request is answered, so that a client that leaves is noticed at once:
  /// `is_gone` turns true and `news` is notified. What else comes (pipelined requests) is kept, up
  /// to a limit; beyond it the client is no longer watched.
  void start_watch(std::shared_ptr<Wakeup> news);
  boost::asio::awaitable<void> stop_watch();
  bool is_gone() const { return is_gone_; }

  /// Ends the sending side, then drops what still comes until the client closes, or the
  /// deadline, or `cancel_read`: a client that is cut while it sends does not read why.
  boost::asio::awaitable<void> linger(Deadline deadline);
  void close();

 private:
  boost::asio::awaitable<void> watch();
  /// Calls `expired` at the deadline unless the number of the operation has changed by then.
  void arm(boost::asio::steady_timer& timer, Deadline deadline, std::uint64_t& operation,
           void (Connection::*expired)());
  void expire_read();

  boost::asio::ip::tcp::socket socket_;
  ServerLimits limits_;
  std::string input_;
  boost::asio::steady_timer read_timer_;
  boost::asio::steady_timer write_timer_;
  std::uint64_t read_operation_ = 0;
  std::uint64_t write_operation_ = 0;
  bool has_read_expired_ = false;
  bool is_gone_ = false;
  bool is_watch_wanted_ = false;
  std::shared_ptr<Wakeup> news_;  // Set while the client is watched.
};

}  // namespace onnxlocal
