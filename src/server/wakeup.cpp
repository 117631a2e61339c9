#include "server/wakeup.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace onnxlocal {

namespace asio = boost::asio;

std::function<void()> Wakeup::notifier() {
  return [self = shared_from_this()] {
    asio::post(self->timer_.get_executor(), [self] { self->notify(); });
  };
}

asio::awaitable<void> Wakeup::wait_until(Deadline deadline) {
  if (!is_notified_) {
    timer_.expires_at(deadline.at());
    static_cast<void>(co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable)));
  }
  is_notified_ = false;
}

}  // namespace onnxlocal
