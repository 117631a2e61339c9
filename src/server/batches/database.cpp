#include "server/batches/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "base/log.h"

namespace onnxlocal {

namespace {

/// Nobody else uses the file, but for a person's own look at it.
constexpr int kBusyMs = 5'000;

Error database_error(int code, std::string_view message) {
  if ((code & 0xFF) == SQLITE_FULL) {
    return disk_full("no room for the batches", "free some space on their disk");
  }
  return internal_error(fmt::format("the batches' database: {}", message));
}

}  // namespace

Statement::Statement(sqlite3_stmt* statement) : statement_(statement) {}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  // It repeats the error of the last step, which was told.
  static_cast<void>(sqlite3_finalize(statement));
}

Statement& Statement::bind(int parameter, std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), parameter, value);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view text) {
  // A null pointer would be NULL, and an empty view may have one.
  const char* const begin = text.empty() ? "" : text.data();
  const int code = sqlite3_bind_text64(statement_.get(), parameter, begin, text.size(),
                                       SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

void Statement::reset() {
  static_cast<void>(sqlite3_reset(statement_.get()));
  bind_error_ = SQLITE_OK;
}

Result<bool> Statement::step() {
  const int code = bind_error_ != SQLITE_OK ? bind_error_ : sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(database_error(code, sqlite3_errmsg(sqlite3_db_handle(statement_.get()))));
}

Result<void> Statement::run() {
  TRY(bool has_row, step());
  while (has_row) {
    TRY(has_row, step());
  }
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::string Statement::text(int column) const {
  const unsigned char* const begin = sqlite3_column_text(statement_.get(), column);
  const int bytes = sqlite3_column_bytes(statement_.get(), column);
  if (begin == nullptr) return {};
  return {reinterpret_cast<const char*>(begin), static_cast<std::size_t>(bytes)};
}

void Database::Close::operator()(sqlite3* database) const {
  static_cast<void>(sqlite3_close_v2(database));
}

Result<Database> Database::open(const std::filesystem::path& file) {
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  const int code = sqlite3_open_v2(file.c_str(), &opened, flags, nullptr);
  Database database(opened);
  if (opened == nullptr) return std::unexpected(database_error(code, "no memory"));
  if (code != SQLITE_OK) {
    return std::unexpected(
        database_error(code, fmt::format("{}: {}", file.string(), sqlite3_errmsg(opened))));
  }
  sqlite3_busy_timeout(opened, kBusyMs);
  TRY_VOID(
      database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                       "PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"));
  return database;
}

Result<void> Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return std::unexpected(database_error(code, sqlite3_errmsg(database_.get())));
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  if (code == SQLITE_OK) return Statement(statement);
  return std::unexpected(database_error(code, sqlite3_errmsg(database_.get())));
}

std::int64_t Database::changes() const { return sqlite3_changes64(database_.get()); }
std::int64_t Database::last_row() const { return sqlite3_last_insert_rowid(database_.get()); }

Result<Transaction> Transaction::begin(Database& database) {
  TRY_VOID(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  const auto undone = database_->execute("ROLLBACK");
  // SQLite has undone some errors' transactions itself.
  if (!undone) LOG_VERBOSE("rollback: {}", undone.error().message);
}

Result<void> Transaction::commit() {
  TRY_VOID(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace onnxlocal
