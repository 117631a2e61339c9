#include "server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "server/listener.h"
#include "server/routes.h"
#include "server/session_registry.h"
#include "server/shutdown.h"
#include "server/worker_pool.h"

namespace onnxlocal {

namespace asio = boost::asio;

class Server::Impl {
 public:
  Impl(ServerOptions options, std::shared_ptr<Provider> provider)
      : options_(std::move(options)),
        routes_(make_routes(std::move(provider), std::chrono::steady_clock::now())),
        ids_(random_seed()),
        work_(asio::make_work_guard(network_)) {}

  Result<void> start() {
    TRY(auto acceptor, Listener::open(network_, options_.host, options_.port));
    boost::system::error_code error;
    const auto endpoint = acceptor.local_endpoint(error);
    if (error) return std::unexpected(internal_error(error.message()));
    port_ = endpoint.port();
    workers_.emplace(std::max(1U, options_.workers), options_.limits.worker_queue_max);
    const SessionServices services{.limits = options_.limits,
                                   .routes = routes_,
                                   .workers = *workers_,
                                   .ids = ids_,
                                   .loopback_only = endpoint.address().is_loopback()};
    listener_.emplace(std::move(acceptor), services, sessions_);
    asio::co_spawn(network_, listener_->run(), asio::detached);
    thread_ = std::jthread([this] { run_network(); });
    return {};
  }

  bool stop(std::chrono::milliseconds drain, std::chrono::milliseconds farewell) {
    const std::scoped_lock lock(stop_mutex_);
    if (!thread_.joinable()) return true;
    const bool nothing_cancelled = drain_sessions(network_, *listener_, sessions_, drain, farewell);
    asio::post(network_, [this] {
      if (signals_) signals_->restore();
    });
    work_.reset();
    thread_.join();
    return nothing_cancelled;
  }

  void catch_signals() {
    if (!signals_) signals_.emplace(network_);
  }

  bool run_until_signal() {
    catch_signals();
    signals_->wait();
    LOG_INFO("stopping: running requests have {} s to finish",
             std::chrono::duration<double>(options_.limits.drain).count());
    return stop();
  }

  bool stop() { return stop(options_.limits.drain, options_.limits.farewell); }
  void stop_at_once() { static_cast<void>(stop({}, {})); }

  std::uint16_t port() const { return port_; }

  std::string url() const {
    const bool is_v6 = options_.host.find(':') != std::string::npos;
    const bool is_any = options_.host == "0.0.0.0" || options_.host == "::";
    if (is_any) return fmt::format("http://127.0.0.1:{}", port_);
    return is_v6 ? fmt::format("http://[{}]:{}", options_.host, port_)
                 : fmt::format("http://{}:{}", options_.host, port_);
  }

 private:
  void run_network() {
    while (true) {
      try {
        network_.run();
        return;
      } catch (const std::exception& exception) {
        // One handler's trouble (no memory) is not the others'.
        LOG_ERROR("network: {}", exception.what());
      }
    }
  }

  // Constant once started.
  ServerOptions options_;
  std::vector<Route> routes_;
  std::uint16_t port_ = 0;

  // Network thread. Destroyed from the last to the first: workers may still post to the network,
  // and what sits in its queue refers to the sessions.
  IdGenerator ids_;
  SessionRegistry sessions_;
  asio::io_context network_{1};
  std::optional<WorkerPool> workers_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::optional<Listener> listener_;
  std::optional<StopSignals> signals_;

  std::mutex stop_mutex_;
  std::jthread thread_;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { impl_->stop_at_once(); }

Result<std::unique_ptr<Server>> Server::start(ServerOptions options,
                                              std::shared_ptr<Provider> provider) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(provider));
  TRY_VOID(impl->start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const { return impl_->port(); }
std::string Server::url() const { return impl_->url(); }
bool Server::stop() { return impl_->stop(); }
void Server::catch_signals() { impl_->catch_signals(); }
bool Server::run_until_signal() { return impl_->run_until_signal(); }

}  // namespace onnxlocal
