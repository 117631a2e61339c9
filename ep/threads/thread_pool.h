#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "threads/parallel.h"

namespace onnxlocal::ep {

/// Physical cores that this process may use: its affinity mask and the cgroup's quota are kept, and
/// of two hyperthreads one counts. At least 1.
unsigned usable_cores();

/// The one pool of a process's kernels. Workers spin briefly for the next run, since a decode step
/// is some hundred runs of microseconds, and then sleep: idle means no processor time.
class ThreadPool final : public Parallel {
 public:
  /// `threads`: the caller's included; 0: `usable_cores()`.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const override { return static_cast<unsigned>(workers_.size()) + 1; }
  /// Tasks are handed out one by one in their order. Any thread may call; callers take turns.
  void run(std::size_t tasks, TaskRef body) override;

 private:
  void work();
  void take_tasks(const TaskRef& body, std::size_t tasks);
  bool spin_for_run(std::uint32_t seen) const;
  void enter_run();

  std::mutex turn_;
  // Written while the gate is closed and nobody is inside.
  const TaskRef* body_ = nullptr;
  std::size_t tasks_ = 0;
  alignas(64) std::atomic<std::size_t> next_{0};
  /// kOpen, and how many workers are inside the run. A worker that the system has put aside before
  /// it entered is not waited for: on a busy machine that would cost a time slice for each run.
  alignas(64) std::atomic<std::uint32_t> gate_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};  ///< Rises by 1 with each run.
  alignas(64) std::atomic<std::uint32_t> sleeping_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::jthread> workers_;
};

}  // namespace onnxlocal::ep
