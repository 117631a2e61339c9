#pragma once

#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/deadline.h"

namespace onnxlocal {

/// Lets one coroutine on the network thread sleep until there is news for it. A notification that
/// comes while nobody waits is kept, so that none is lost; several may be taken for one, so the
/// coroutine looks at its state again each time. Network thread only, but for what `notifier`
/// gives.
class Wakeup : public std::enable_shared_from_this<Wakeup> {
 public:
  explicit Wakeup(boost::asio::any_io_executor network) : timer_(std::move(network)) {}

  void notify() {
    is_notified_ = true;
    timer_.cancel();
  }

  /// A function that any thread may call, as long as the network's io_context lives.
  std::function<void()> notifier();

  /// Returns when notified, or at the deadline.
  boost::asio::awaitable<void> wait_until(Deadline deadline);

  boost::asio::any_io_executor executor() { return timer_.get_executor(); }

 private:
  boost::asio::steady_timer timer_;
  bool is_notified_ = false;
};

}  // namespace onnxlocal
