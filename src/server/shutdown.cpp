#include "server/shutdown.h"

#include <csignal>
#include <cstdlib>

#include <boost/asio/post.hpp>

#include "base/log.h"

namespace onnxlocal {

namespace asio = boost::asio;

namespace {
constexpr int kSignalExitBase = 128;  // As shells report a process that a signal ended.
}  // namespace

bool drain_sessions(asio::io_context& network, Listener& listener, SessionRegistry& sessions,
                    std::chrono::milliseconds drain, std::chrono::milliseconds farewell) {
  asio::post(network, [&listener, &sessions] {
    listener.close();
    sessions.for_each([](Session& session) { session.drain(); });
  });
  if (sessions.wait_until_empty(Deadline::after(drain))) return true;
  if (drain.count() > 0) {
    LOG_WARNING("requests still run after {} ms: they are cancelled", drain.count());
  }
  asio::post(network, [&sessions] { sessions.for_each([](Session& s) { s.cancel(); }); });
  if (!sessions.wait_until_empty(Deadline::after(farewell))) {
    asio::post(network, [&sessions] { sessions.for_each([](Session& s) { s.close(); }); });
    sessions.wait_until_empty(Deadline());
  }
  return false;
}

StopSignals::StopSignals(asio::io_context& network) : signals_(network, SIGINT, SIGTERM) {
  listen();
}

void StopSignals::listen() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    {
      const std::scoped_lock lock(mutex_);
      if (has_come_) std::_Exit(kSignalExitBase + signal);
      has_come_ = true;
    }
    came_.notify_all();
    listen();
  });
}

void StopSignals::restore() {
  boost::system::error_code ignored;
  signals_.clear(ignored);
  signals_.cancel(ignored);
}

void StopSignals::wait() {
  std::unique_lock lock(mutex_);
  came_.wait(lock, [this] { return has_come_; });
}

}  // namespace onnxlocal
