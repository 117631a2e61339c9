#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "engine/mask_stream.h"

namespace onnxlocal {

/// A few threads that compute masks, first come first served. Any thread may call `run`.
class MaskWorkers {
 public:
  /// `after_each` is called on a worker once a job is done; it must not block or throw.
  MaskWorkers(unsigned threads, std::function<void()> after_each);
  /// Waits for the jobs that run and drops the others.
  ~MaskWorkers();
  MaskWorkers(const MaskWorkers&) = delete;
  MaskWorkers& operator=(const MaskWorkers&) = delete;

  /// Does not wait. Jobs are as many as sequences that run, so they need no bound of their own.
  void run(MaskJob job);

 private:
  void work();

  const std::function<void()> after_each_;
  Channel<MaskJob> jobs_;
  std::atomic<bool> is_stopping_ = false;
  std::vector<std::thread> threads_;  ///< Last: they use what stands above.
};

}  // namespace onnxlocal
