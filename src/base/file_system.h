#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/descriptor.h"
#include "base/result.h"

namespace onnxlocal {

/// A file mapped read-only into memory. Movable; the bytes are valid while it lives.
class MappedFile {
 public:
  /// Errors: not_found; invalid_request (not a regular file); internal.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

/// The whole file as text. Errors: not_found, too_large (over `bytes_max`), internal.
Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t bytes_max);

/// Writes beside `path`, flushes to the disk, renames: `path` holds the old text or the new, never
/// a part. Errors: disk_full, internal.
Result<void> write_text_file(const std::filesystem::path& path, std::string_view text);

/// A file that is written in order. Nothing is at `path` for others to see until `commit`; a file
/// that was not committed is removed. One thread.
class FileWriter {
 public:
  static Result<FileWriter> create(const std::filesystem::path& path);
  ~FileWriter();
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&& other) noexcept;

  /// Errors: disk_full, internal.
  Result<void> write(std::span<const std::byte> bytes);
  /// Bytes written so far.
  std::uint64_t size_bytes() const;
  /// Flushes to the disk and renames to `path`.
  Result<void> commit();

 private:
  struct State;
  explicit FileWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A folder that is filled under a temporary name beside `target` and appears there whole, or not
/// at all: the destructor removes what was not committed, and the next `create` for the same target
/// what a crash left.
class StagedFolder {
 public:
  static Result<StagedFolder> create(const std::filesystem::path& target);
  ~StagedFolder();
  StagedFolder(StagedFolder&& other) noexcept;
  StagedFolder& operator=(StagedFolder&& other) noexcept;

  /// Where to write.
  const std::filesystem::path& path() const { return staging_; }
  /// Renames to the target; an earlier folder there is replaced.
  Result<void> commit();

 private:
  StagedFolder(std::filesystem::path staging, std::filesystem::path target, Descriptor lock);
  void discard();

  std::filesystem::path staging_;
  std::filesystem::path target_;
  Descriptor lock_;  // While it is open, others know that the folder is in use.
};

/// Bytes that may still be written where `path` (or its nearest existing parent) lies.
Result<std::uint64_t> free_disk_bytes(const std::filesystem::path& path);

/// True where the paths (or their nearest existing parents) share their free space.
Result<bool> are_on_one_disk(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace onnxlocal
