#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>

#include "base/channel.h"
#include "server/wakeup.h"

namespace onnxlocal {

/// Threads for what would hold the network thread up: parsing, rendering, tokenizing.
class WorkerPool {
 public:
  using Job = std::move_only_function<void()>;

  WorkerPool(unsigned threads, std::size_t queue_max);
  /// Finishes the jobs that were accepted, then joins.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// False where the queue is full. The job must not throw.
  bool submit(Job job) { return jobs_.push(std::move(job)) == ChannelPush::kAccepted; }

 private:
  Channel<Job> jobs_;
  std::vector<std::jthread> threads_;
};

/// Runs `work` on a worker and waits for it on the network thread; empty where the queue is full.
/// The network's io_context must live until it returns.
/// REQUIRES: `work` is moved from a variable of just this type: g++ 12 destroys the temporary of a
/// conversion inside a co_await twice.
template <class T>
boost::asio::awaitable<std::optional<T>> run_on_worker(WorkerPool& pool,
                                                       std::shared_ptr<Wakeup> wakeup,
                                                       std::move_only_function<T()> work) {
  struct State {
    std::optional<T> result;
    bool is_done = false;  // Network thread.
  };
  auto state = std::make_shared<State>();
  const bool accepted = pool.submit([state, wakeup, work = std::move(work)]() mutable {
    state->result.emplace(work());
    boost::asio::post(wakeup->executor(), [state, wakeup] {
      state->is_done = true;
      wakeup->notify();
    });
  });
  if (!accepted) co_return std::nullopt;
  while (!state->is_done) co_await wakeup->wait_until(Deadline());
  co_return std::move(state->result);
}

}  // namespace onnxlocal
