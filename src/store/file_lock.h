#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>

#include "base/result.h"

namespace onnxlocal {

/// An exclusive lock between processes, held while the object lives; a process that dies lets go.
/// The file stays where it is: removing it would let two processes lock two files of one name.
class FileLock {
 public:
  /// Waits for the lock; calls `on_wait` once where another process holds it.
  /// Errors: cancelled, internal (the file cannot be made or locked).
  static Result<FileLock> acquire(const std::filesystem::path& file, std::stop_token stop = {},
                                  const std::function<void()>& on_wait = {});
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace onnxlocal
