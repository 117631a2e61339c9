#include "server/batches/batch_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <system_error>
#include <utility>

namespace onnxlocal {

namespace {

using anthropic::MessageBatch;

constexpr int kSchemaVersion = 1;
constexpr std::size_t kSweepRows = 500;  // A transaction of a few milliseconds.
constexpr std::size_t kResultPageBytes = std::size_t{1} << 20;

constexpr const char* kSchema = R"(
CREATE TABLE batches(
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  created_s INTEGER NOT NULL,
  expires_s INTEGER NOT NULL,
  cancelled_s INTEGER,
  ended_s INTEGER,
  total INTEGER NOT NULL,
  succeeded INTEGER NOT NULL DEFAULT 0,
  errored INTEGER NOT NULL DEFAULT 0,
  canceled INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0);
CREATE INDEX batches_by_owner ON batches(owner, number);
CREATE INDEX batches_open ON batches(number) WHERE ended_s IS NULL;
CREATE TABLE requests(
  batch INTEGER NOT NULL REFERENCES batches(number) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  custom_id TEXT NOT NULL,
  params TEXT NOT NULL,
  PRIMARY KEY(batch, position));
CREATE TABLE results(
  batch INTEGER NOT NULL REFERENCES batches(number) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  custom_id TEXT NOT NULL,
  line TEXT NOT NULL,
  PRIMARY KEY(batch, position),
  UNIQUE(batch, custom_id));
)";

constexpr std::string_view kColumns =
    "number, id, created_s, expires_s, cancelled_s, ended_s, total, succeeded, errored, canceled, "
    "expired";

std::chrono::sys_seconds to_time(std::int64_t seconds) {
  return std::chrono::sys_seconds(std::chrono::seconds(seconds));
}

MessageBatch to_batch(const Statement& row) {
  MessageBatch batch;
  batch.id = row.text(1);
  batch.created_at = to_time(row.integer(2));
  batch.expires_at = to_time(row.integer(3));
  if (!row.is_null(4)) batch.cancel_initiated_at = to_time(row.integer(4));
  if (!row.is_null(5)) batch.ended_at = to_time(row.integer(5));
  const auto count = [&row](int column) { return static_cast<std::uint32_t>(row.integer(column)); };
  anthropic::BatchCounts& counts = batch.counts;
  counts.succeeded = count(7);
  counts.errored = count(8);
  counts.canceled = count(9);
  counts.expired = count(10);
  counts.processing =
      count(6) - counts.succeeded - counts.errored - counts.canceled - counts.expired;
  batch.status = batch.ended_at              ? MessageBatch::Status::kEnded
                 : batch.cancel_initiated_at ? MessageBatch::Status::kCanceling
                                             : MessageBatch::Status::kInProgress;
  return batch;
}

PendingRequest to_request(const Statement& row) {
  return {.batch = row.integer(0),
          .position = row.integer(1),
          .custom_id = row.text(2),
          .params = row.text(3),
          .owner = row.text(4)};
}

std::string_view column_of(BatchOutcome outcome) {
  switch (outcome) {
    case BatchOutcome::kSucceeded: return "succeeded";
    case BatchOutcome::kErrored: return "errored";
    case BatchOutcome::kCanceled: return "canceled";
    case BatchOutcome::kExpired: return "expired";
  }
  return "errored";
}

Result<void> make_schema(Database& database) {
  TRY(Statement version, database.prepare("PRAGMA user_version"));
  TRY(const bool has_row, version.step());
  const std::int64_t found = has_row ? version.integer(0) : 0;
  if (found == kSchemaVersion) return {};
  if (found != 0) {
    return std::unexpected(
        unsupported(fmt::format("the batches' database is of version {}; this program knows {}",
                                found, kSchemaVersion),
                    "move batches.db away, or use the program that wrote it"));
  }
  TRY(Transaction transaction, Transaction::begin(database));
  TRY_VOID(database.execute(kSchema));
  TRY_VOID(database.execute(fmt::format("PRAGMA user_version={}", kSchemaVersion)));
  return transaction.commit();
}

Error no_such_batch(std::string_view id) {
  return not_found(fmt::format("no batch has the id '{}'", id));
}

Error not_ended(std::string_view id) {
  return invalid_request(fmt::format("the batch '{}' has not ended", id),
                         "wait until its processing_status is ended, or cancel it");
}

}  // namespace

struct BatchStore::Row {
  std::int64_t number = 0;
  MessageBatch batch;
};

BatchStore::BatchStore(FileLock lock, Database database, Clock clock)
    : clock_(std::move(clock)), lock_(std::move(lock)), database_(std::move(database)) {}

Result<std::unique_ptr<BatchStore>> BatchStore::open(const std::filesystem::path& folder,
                                                     Clock clock) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return std::unexpected(internal_error(folder.string() + ": " + error.message()));
  // Prompts and answers are their owner's alone.
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  auto lock = FileLock::try_acquire(folder);
  if (!lock) {
    return std::unexpected(
        unavailable(fmt::format("another server has the batches of {} open", folder.string()),
                    "stop it, or give this one another folder: --batch-folder"));
  }
  TRY(Database database, Database::open(folder / "batches.db"));
  TRY_VOID(make_schema(database));
  return std::unique_ptr<BatchStore>(
      new BatchStore(*std::move(lock), std::move(database), std::move(clock)));
}

std::int64_t BatchStore::now_s() const {
  return std::chrono::floor<std::chrono::seconds>(clock_.wall()).time_since_epoch().count();
}

Result<BatchStore::Row> BatchStore::find_row(std::string_view owner, std::string_view id) {
  TRY(Statement query,
      database_.prepare(fmt::format("SELECT {} FROM batches WHERE owner=? AND id=?", kColumns)));
  TRY(const bool is_there, query.bind(1, owner).bind(2, id).step());
  if (!is_there) return std::unexpected(no_such_batch(id));
  return Row{.number = query.integer(0), .batch = to_batch(query)};
}

Result<MessageBatch> BatchStore::create(std::string_view owner, std::string id,
                                        const std::vector<anthropic::BatchRequest>& requests) {
  const std::scoped_lock lock(mutex_);
  TRY(Transaction transaction, Transaction::begin(database_));
  TRY(Statement open_batches,
      database_.prepare("SELECT count(*) FROM batches WHERE owner=? AND ended_s IS NULL"));
  TRY(const bool has_count, open_batches.bind(1, owner).step());
  if (has_count && open_batches.integer(0) >= kOpenBatchesMax) {
    return std::unexpected(
        overloaded(fmt::format("{} batches have not ended", open_batches.integer(0))));
  }
  const std::int64_t now = now_s();
  TRY(Statement batch, database_.prepare("INSERT INTO batches(id, owner, created_s, expires_s, "
                                         "total) VALUES(?, ?, ?, ?, ?)"));
  const std::int64_t lifetime = std::chrono::seconds(kLifetime).count();
  TRY_VOID(batch.bind(1, id)
               .bind(2, owner)
               .bind(3, now)
               .bind(4, now + lifetime)
               .bind(5, static_cast<std::int64_t>(requests.size()))
               .run());
  const std::int64_t number = database_.last_row();
  TRY(Statement insert, database_.prepare("INSERT INTO requests VALUES(?, ?, ?, ?)"));
  std::int64_t position = 0;
  for (const anthropic::BatchRequest& request : requests) {
    insert.reset();
    TRY_VOID(insert.bind(1, number)
                 .bind(2, position)
                 .bind(3, request.custom_id)
                 .bind(4, request.params)
                 .run());
    ++position;
  }
  TRY(const Row row, find_row(owner, id));
  TRY_VOID(transaction.commit());
  return row.batch;
}

Result<MessageBatch> BatchStore::find(std::string_view owner, std::string_view id) {
  const std::scoped_lock lock(mutex_);
  TRY(Row row, find_row(owner, id));
  return std::move(row.batch);
}

Result<BatchPage> BatchStore::list(std::string_view owner, const anthropic::ModelPage& page) {
  const std::scoped_lock lock(mutex_);
  const bool is_before = !page.before_id.empty();
  std::int64_t cursor = std::numeric_limits<std::int64_t>::max();
  if (is_before || !page.after_id.empty()) {
    const std::string& id = is_before ? page.before_id : page.after_id;
    auto row = find_row(owner, id);
    if (!row) {
      return std::unexpected(invalid_request(fmt::format("no batch has the id '{}'", id)));
    }
    cursor = row->number;
  }
  // Newest first: what comes after a batch is older.
  TRY(Statement query,
      database_.prepare(fmt::format("SELECT {} FROM batches WHERE owner=? AND number{}? "
                                    "ORDER BY number {} LIMIT ?",
                                    kColumns, is_before ? ">" : "<", is_before ? "ASC" : "DESC")));
  query.bind(1, owner).bind(2, cursor).bind(3, static_cast<std::int64_t>(page.limit) + 1);
  BatchPage found;
  TRY(bool has_row, query.step());
  while (has_row) {
    found.batches.push_back(to_batch(query));
    TRY(has_row, query.step());
  }
  found.has_more = found.batches.size() > page.limit;
  if (found.has_more) found.batches.pop_back();
  if (is_before) std::ranges::reverse(found.batches);
  return found;
}

Result<MessageBatch> BatchStore::cancel(std::string_view owner, std::string_view id) {
  const std::scoped_lock lock(mutex_);
  TRY(Statement mark,
      database_.prepare("UPDATE batches SET cancelled_s=? WHERE owner=? AND id=? AND ended_s IS "
                        "NULL AND cancelled_s IS NULL"));
  TRY_VOID(mark.bind(1, now_s()).bind(2, owner).bind(3, id).run());
  TRY(Row row, find_row(owner, id));
  return std::move(row.batch);
}

Result<void> BatchStore::remove(std::string_view owner, std::string_view id) {
  const std::scoped_lock lock(mutex_);
  TRY(const Row row, find_row(owner, id));
  if (!row.batch.ended_at) return std::unexpected(not_ended(id));
  TRY(Statement erase, database_.prepare("DELETE FROM batches WHERE number=?"));
  return erase.bind(1, row.number).run();
}

Result<ResultPage> BatchStore::results(std::string_view owner, std::string_view id,
                                       std::int64_t position) {
  const std::scoped_lock lock(mutex_);
  TRY(const Row row, find_row(owner, id));
  if (!row.batch.ended_at) return std::unexpected(not_ended(id));
  TRY(Statement query, database_.prepare("SELECT position, line FROM results WHERE batch=? AND "
                                         "position>=? ORDER BY position"));
  query.bind(1, row.number).bind(2, position);
  ResultPage page{.lines = {}, .next_position = position};
  TRY(bool has_row, query.step());
  while (has_row && page.lines.size() < kResultPageBytes) {
    page.next_position = query.integer(0) + 1;
    page.lines += query.text(1);
    TRY(has_row, query.step());
  }
  return page;
}

Result<std::vector<PendingRequest>> BatchStore::pending(std::size_t count_max) {
  const std::scoped_lock lock(mutex_);
  return open_requests(fmt::format("cancelled_s IS NULL AND expires_s>{}", now_s()), count_max);
}

Result<std::vector<PendingRequest>> BatchStore::open_requests(std::string_view condition,
                                                              std::size_t count_max) {
  TRY(Statement query,
      database_.prepare(fmt::format(
          "SELECT batch, position, custom_id, params, owner FROM batches JOIN requests ON "
          "batch=number WHERE ended_s IS NULL AND {} ORDER BY number, position LIMIT ?",
          condition)));
  query.bind(1, static_cast<std::int64_t>(count_max));
  std::vector<PendingRequest> found;
  TRY(bool has_row, query.step());
  while (has_row) {
    found.push_back(to_request(query));
    TRY(has_row, query.step());
  }
  return found;
}

Result<bool> BatchStore::write_result(const PendingRequest& request, BatchOutcome outcome,
                                      std::string_view line) {
  TRY(Statement take, database_.prepare("DELETE FROM requests WHERE batch=? AND position=?"));
  TRY_VOID(take.bind(1, request.batch).bind(2, request.position).run());
  if (database_.changes() == 0) return false;
  TRY(Statement insert, database_.prepare("INSERT INTO results VALUES(?, ?, ?, ?)"));
  TRY_VOID(insert.bind(1, request.batch)
               .bind(2, request.position)
               .bind(3, request.custom_id)
               .bind(4, line)
               .run());
  const std::string_view column = column_of(outcome);
  TRY(Statement count, database_.prepare(fmt::format(
                           "UPDATE batches SET {0}={0}+1, ended_s=CASE WHEN succeeded+errored+"
                           "canceled+expired+1=total THEN ? ELSE NULL END WHERE number=?",
                           column)));
  TRY_VOID(count.bind(1, now_s()).bind(2, request.batch).run());
  return true;
}

Result<bool> BatchStore::finish(const PendingRequest& request, BatchOutcome outcome,
                                std::string_view line) {
  const std::scoped_lock lock(mutex_);
  TRY(Transaction transaction, Transaction::begin(database_));
  TRY(const bool is_written, write_result(request, outcome, line));
  TRY_VOID(transaction.commit());
  return is_written;
}

Result<bool> BatchStore::close_some(std::string_view condition, BatchOutcome outcome) {
  TRY(Transaction transaction, Transaction::begin(database_));
  TRY(const auto requests, open_requests(condition, kSweepRows));
  for (const PendingRequest& request : requests) {
    const std::string line = outcome == BatchOutcome::kCanceled
                                 ? anthropic::batch_canceled_line(request.custom_id)
                                 : anthropic::batch_expired_line(request.custom_id);
    TRY_VOID(write_result(request, outcome, line));
  }
  TRY_VOID(transaction.commit());
  return requests.size() == kSweepRows;
}

Result<bool> BatchStore::sweep() {
  const std::scoped_lock lock(mutex_);
  const std::int64_t now = now_s();
  TRY(const bool more_cancelled, close_some("cancelled_s IS NOT NULL", BatchOutcome::kCanceled));
  TRY(const bool more_expired, close_some(fmt::format("cancelled_s IS NULL AND expires_s<={}", now),
                                          BatchOutcome::kExpired));
  TRY(Statement old, database_.prepare("DELETE FROM batches WHERE number IN (SELECT number FROM "
                                       "batches WHERE ended_s<? LIMIT 1)"));
  TRY_VOID(old.bind(1, now - std::chrono::seconds(kRetention).count()).run());
  return more_cancelled || more_expired || database_.changes() > 0;
}

Result<std::uint64_t> BatchStore::pending_count() {
  const std::scoped_lock lock(mutex_);
  TRY(Statement count, database_.prepare("SELECT count(*) FROM requests"));
  TRY(const bool has_row, count.step());
  return has_row ? static_cast<std::uint64_t>(count.integer(0)) : 0;
}

}  // namespace onnxlocal
