#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// How often a waiting process looks again: short against an import, long against a system call.
constexpr std::chrono::milliseconds kRetryInterval{100};

Error lock_error(const fs::path& file, int number) {
  return internal_error(
      fmt::format("cannot lock {}: {}", file.string(), std::generic_category().message(number)),
      "Check that its folder can be written.");
}

/// Zero, or the error's number.
int try_lock(const Descriptor& file, int mode) {
  while (::flock(file.number(), mode | LOCK_NB) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

/// Open and locked, or not open.
Descriptor open_locked(const fs::path& path, int mode) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.is_open() && try_lock(file, mode) != 0) file.close();
  return file;
}

}  // namespace

Result<FileLock> FileLock::acquire(const fs::path& file, const std::stop_token& stop,
                                   const std::function<void()>& on_wait) {
  Descriptor descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!descriptor.is_open()) return std::unexpected(lock_error(file, errno));
  std::mutex mutex;
  std::condition_variable_any stopped;
  bool was_told = false;
  while (const int number = try_lock(descriptor, LOCK_EX)) {
    if (number != EWOULDBLOCK) return std::unexpected(lock_error(file, number));
    if (!std::exchange(was_told, true) && on_wait) on_wait();
    std::unique_lock wait(mutex);
    stopped.wait_for(wait, stop, kRetryInterval, [] { return false; });
    if (stop.stop_requested()) return std::unexpected(cancelled());
  }
  return FileLock(std::move(descriptor));
}

std::optional<FileLock> FileLock::try_acquire(const fs::path& path) {
  Descriptor file = open_locked(path, LOCK_EX);
  if (!file.is_open()) return std::nullopt;
  return FileLock(std::move(file));
}

std::optional<FileLock> FileLock::try_share(const fs::path& path) {
  Descriptor file = open_locked(path, LOCK_SH);
  if (!file.is_open()) return std::nullopt;
  return FileLock(std::move(file));
}

}  // namespace onnxlocal
