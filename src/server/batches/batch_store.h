#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/anthropic/batches.h"
#include "api/anthropic/models.h"
#include "base/file_lock.h"
#include "base/result.h"
#include "server/batches/database.h"
#include "server/clock.h"

namespace onnxlocal {

/// A request of a batch that has no result yet.
struct PendingRequest {
  std::int64_t batch = 0;     ///< The batch's number here.
  std::int64_t position = 0;  ///< In its batch.
  std::string custom_id;
  std::string params;  ///< The client's own text.
  std::string owner;
};

/// How a request ended, and what its line says of it.
enum class BatchOutcome { kSucceeded, kErrored, kCanceled, kExpired };

/// A page of a batch's results: lines, and where the next page begins.
struct ResultPage {
  std::string lines;  ///< Empty: there are no more.
  std::int64_t next_position = 0;
};

struct BatchPage {
  std::vector<anthropic::MessageBatch> batches;  ///< Newest first; without `results_url`.
  bool has_more = false;
};

/// Batches, their requests and results, in one SQLite file (docs/formats/batches.md). Each change
/// is on the disk before it is answered: a request that was accepted has, after any crash, either
/// no result (it is then pending) or its one result. Who does not own a batch does not see it. Any
/// thread; calls wait for one another and for the disk.
class BatchStore {
 public:
  static constexpr std::chrono::hours kLifetime{24};
  /// What ended so long ago is deleted.
  static constexpr std::chrono::hours kRetention{29 * 24};
  static constexpr std::uint32_t kOpenBatchesMax = 100;  ///< Of one owner.

  /// Opens or makes `folder`/batches.db. Errors: unavailable (another process has it open),
  /// disk_full, internal.
  static Result<std::unique_ptr<BatchStore>> open(const std::filesystem::path& folder, Clock clock);

  /// Errors: overloaded (too many batches are open), disk_full, internal.
  Result<anthropic::MessageBatch> create(std::string_view owner, std::string id,
                                         const std::vector<anthropic::BatchRequest>& requests);
  /// Errors here and below: not_found.
  Result<anthropic::MessageBatch> find(std::string_view owner, std::string_view id);
  Result<BatchPage> list(std::string_view owner, const anthropic::ModelPage& page);
  /// Marks it; what has no result by then gets none but "canceled". A batch that ended stays as it
  /// is.
  Result<anthropic::MessageBatch> cancel(std::string_view owner, std::string_view id);
  /// Errors: invalid_request (it has not ended).
  Result<void> remove(std::string_view owner, std::string_view id);
  /// Results from `position` on, about a megabyte. Errors: invalid_request (it has not ended).
  Result<ResultPage> results(std::string_view owner, std::string_view id, std::int64_t position);

  /// Requests that wait, oldest batch first; of batches that were cancelled or have expired, none.
  Result<std::vector<PendingRequest>> pending(std::size_t count_max);
  /// Writes a request's one result: its line, the counts and, where it is the last, the batch's end
  /// are one transaction. False where it has a result already, or its batch is gone.
  Result<bool> finish(const PendingRequest& request, BatchOutcome outcome, std::string_view line);
  /// Gives some requests of cancelled and expired batches their results, and deletes some of what
  /// is old. True where there is more to do.
  Result<bool> sweep();
  Result<std::uint64_t> pending_count();

 private:
  BatchStore(FileLock lock, Database database, Clock clock);
  struct Row;
  Result<Row> find_row(std::string_view owner, std::string_view id);
  Result<bool> write_result(const PendingRequest& request, BatchOutcome outcome,
                            std::string_view line);
  Result<std::vector<PendingRequest>> open_requests(std::string_view condition,
                                                    std::size_t count_max);
  Result<bool> close_some(std::string_view condition, BatchOutcome outcome);
  std::int64_t now_s() const;

  const Clock clock_;
  FileLock lock_;
  std::mutex mutex_;
  Database database_;  // Guarded by mutex_.
};

}  // namespace onnxlocal
