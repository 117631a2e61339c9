#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include "base/descriptor.h"
#include "base/result.h"

namespace onnxlocal {

/// A lock between processes, held while the object lives; a process that dies lets go. Two locks of
/// one process exclude each other too. A lock belongs to the file, not to its name: after a rename
/// it is still held, and one name may mean two files one after the other.
class FileLock {
 public:
  /// Waits for the lock on `file`, which is made where it is missing and stays where it is; calls
  /// `on_wait` once where somebody holds it. Errors: cancelled, internal (it cannot be made or
  /// locked).
  static Result<FileLock> acquire(const std::filesystem::path& file,
                                  const std::stop_token& stop = {},
                                  const std::function<void()>& on_wait = {});
  /// Locks a file or folder that is there, without waiting: alone, or with others who share it.
  /// Empty where it is not there or somebody is in the way.
  static std::optional<FileLock> try_acquire(const std::filesystem::path& path);
  static std::optional<FileLock> try_share(const std::filesystem::path& path);

 private:
  explicit FileLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
  Descriptor descriptor_;
};

}  // namespace onnxlocal
