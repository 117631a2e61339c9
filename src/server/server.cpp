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
#include "server/reload_signal.h"
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
        metrics_(std::make_shared<Metrics>(options_.clock)),
        models_({.provider = std::move(provider),
                 .aliases = std::make_shared<ModelAliases>(std::move(options_.aliases)),
                 .read_pdf = std::move(options_.read_pdf),
                 .embeddings = std::move(options_.embeddings)}),
        batches_(make_batches()),
        routes_(make_routes({.models = models_,
                             .metrics = metrics_,
                             .batches = batches_,
                             .started = std::chrono::steady_clock::now()})),
        rate_limiter_(options_.clock),
        ids_(random_seed()),
        work_(asio::make_work_guard(network_)) {}

  Result<void> start() {
    TRY(auto acceptor, Listener::open(network_, options_.host, options_.port));
    boost::system::error_code error;
    const auto endpoint = acceptor.local_endpoint(error);
    if (error) return std::unexpected(internal_error(error.message()));
    const bool is_local = endpoint.address().is_loopback();
    if (!is_local && options_.keys.empty() && !options_.allow_unauthenticated) {
      return std::unexpected(invalid_request(
          fmt::format("{} is open to other machines, and there is no API key", options_.host),
          "set keys (--api-key-file, ONNX_LOCAL_API_KEY), or pass --allow-unauthenticated where "
          "everybody may use this server"));
    }
    port_ = endpoint.port();
    gate_.emplace(PagePolicy{.loopback_only = is_local, .allowed_origins = options_.cors_origins},
                  KeyRing(options_.keys), options_.default_limits);
    workers_.emplace(std::max(1U, options_.workers), options_.limits.worker_queue_max);
    const SessionServices services{.limits = options_.limits,
                                   .routes = routes_,
                                   .workers = *workers_,
                                   .ids = ids_,
                                   .gate = *gate_,
                                   .rate_limiter = rate_limiter_,
                                   .metrics = metrics_};
    listener_.emplace(std::move(acceptor), services, sessions_);
    asio::co_spawn(network_, listener_->run(), asio::detached);
    thread_ = std::jthread([this] { run_network(); });
    return {};
  }

  bool stop(std::chrono::milliseconds drain, std::chrono::milliseconds farewell) {
    const std::scoped_lock lock(stop_mutex_);
    if (!thread_.joinable()) return true;
    // What runs of them is pending again at the next start.
    if (batches_) batches_->stop();
    const bool nothing_cancelled = drain_sessions(network_, *listener_, sessions_, drain, farewell);
    asio::post(network_, [this] {
      if (signals_) signals_->restore();
      if (reload_) reload_->stop();
    });
    work_.reset();
    thread_.join();
    return nothing_cancelled;
  }

  void catch_signals() {
    if (!signals_) signals_.emplace(network_);
    if (!reload_ && options_.reload_keys) {
      reload_.emplace(network_, [this] { reload_keys(); });
    }
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
  std::shared_ptr<BatchRunner> make_batches() const {
    if (options_.batch_folder.empty()) return nullptr;
    return std::make_shared<BatchRunner>(
        models_, metrics_,
        BatchRunnerOptions{.folder = options_.batch_folder,
                           .clock = options_.clock,
                           .concurrency = options_.limits.batch_requests_max,
                           .tick = options_.limits.batch_tick});
  }

  void reload_keys() {
    auto keys = options_.reload_keys();
    if (!keys) {
      LOG_ERROR("the keys stay as they were: {}", describe(keys.error()));
      return;
    }
    LOG_INFO("{} keys were read", keys->size());
    gate_->replace_keys(KeyRing(*std::move(keys)));
  }

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
  std::shared_ptr<Metrics> metrics_;
  Models models_;
  std::shared_ptr<BatchRunner> batches_;  // The routes' too; null where there are none.
  std::vector<Route> routes_;
  std::uint16_t port_ = 0;

  // Network thread. Destroyed from the last to the first: workers may still post to the network,
  // and what sits in its queue refers to the sessions.
  std::optional<Gate> gate_;
  RateLimiter rate_limiter_;
  IdGenerator ids_;
  SessionRegistry sessions_;
  asio::io_context network_{1};
  std::optional<WorkerPool> workers_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::optional<Listener> listener_;
  std::optional<StopSignals> signals_;
  std::optional<ReloadSignal> reload_;

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
