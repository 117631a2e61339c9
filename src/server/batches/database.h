#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace onnxlocal {

/// One SQL statement with its values. Parameters count from 1, columns from 0. A value's text must
/// live until `step`. Not longer than its database; one thread at a time.
class Statement {
 public:
  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, std::string_view text);

  /// For another run with other values.
  void reset();
  /// Runs to the next row: true where there is one. Errors: disk_full, internal; a value that could
  /// not be bound shows here.
  Result<bool> step();
  /// Runs to the end, for statements without rows.
  Result<void> run();

  std::int64_t integer(int column) const;
  bool is_null(int column) const;
  std::string text(int column) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement);
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_error_ = 0;
};

/// An SQLite database in a file: the one door to SQLite. A transaction is on the disk when its
/// commit returns (write-ahead log, synchronous=FULL). One thread at a time.
class Database {
 public:
  /// Makes the file where it is missing. Errors: disk_full, internal.
  static Result<Database> open(const std::filesystem::path& file);

  /// One or several statements without values. Errors: disk_full, internal.
  Result<void> execute(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  /// Rows that the last statement changed.
  std::int64_t changes() const;
  std::int64_t last_row() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  explicit Database(sqlite3* database) : database_(database) {}
  std::unique_ptr<sqlite3, Close> database_;
};

/// All or nothing: what was not committed is undone by the destructor. The database must outlive
/// it.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  ~Transaction();
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;

  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace onnxlocal
