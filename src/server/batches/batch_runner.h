#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/response_encoder.h"
#include "base/result.h"
#include "server/addressing.h"
#include "server/batches/batch_store.h"
#include "server/event_inbox.h"
#include "server/metrics.h"
#include "server/middleware/request_id.h"

namespace onnxlocal {

struct BatchRunnerOptions {
  std::filesystem::path folder;
  Clock clock;
  std::uint32_t concurrency = 4;  ///< Requests at a time; no more than the model has slots.
  /// How often it looks for what time alone brings: expiry, a model that has loaded, the folder
  /// that another server had.
  std::chrono::milliseconds tick{1'000};
};

/// Runs the requests of batches at low priority, a few at a time, on a thread of its own, and
/// writes what becomes of them. A request whose result is not written when the process ends,
/// however it ends, runs again. Any thread may call any method; the destructor stops.
class BatchRunner {
 public:
  BatchRunner(Models models, std::shared_ptr<Metrics> metrics, BatchRunnerOptions options);
  ~BatchRunner();
  BatchRunner(const BatchRunner&) = delete;
  BatchRunner& operator=(const BatchRunner&) = delete;

  /// The store, opened at the first call. Errors: those of `BatchStore::open`.
  Result<std::shared_ptr<BatchStore>> store();
  /// There is something new in the store.
  void wake();
  /// Cancels what runs, and joins. The second call does nothing.
  void stop();

 private:
  struct Running {
    PendingRequest request;
    std::unique_ptr<ResponseEncoder> encoder;
    std::shared_ptr<EventInbox> inbox;
    ActiveGeneration active;
  };
  using Key = std::pair<std::int64_t, std::int64_t>;  ///< Batch, position.

  void run(const std::stop_token& stop);
  void work(BatchStore& store);
  /// True where it has ended.
  bool deliver(BatchStore& store, const Running& running);
  void start_more(BatchStore& store);
  void start_one(BatchStore& store, PendingRequest request);
  void fail(BatchStore& store, const PendingRequest& request, const Error& error);
  void write(BatchStore& store, const PendingRequest& request, BatchOutcome outcome,
             std::string_view line);
  void wait(const std::stop_token& stop);

  const Models models_;
  const std::shared_ptr<Metrics> metrics_;
  const BatchRunnerOptions options_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool is_woken_ = false;              // Guarded by mutex_.
  std::shared_ptr<BatchStore> store_;  // Guarded by mutex_.

  // The runner's thread.
  IdGenerator ids_;
  std::map<Key, Running> running_;
  std::map<Key, std::uint32_t> refusals_;  ///< How often there was no room for a request.

  std::jthread thread_;  ///< Last: it uses what stands above.
};

}  // namespace onnxlocal
