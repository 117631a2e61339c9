#include "store/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

/// How often a waiting process looks again: short against an import, long against a system call.
constexpr std::chrono::milliseconds kRetryInterval{100};

Error lock_error(const std::filesystem::path& file, int number) {
  return internal_error(fmt::format("cannot lock {}: {}", file.string(), std::strerror(number)),
                        "Check that the models folder can be written.");
}

}  // namespace

Result<FileLock> FileLock::acquire(const std::filesystem::path& file, std::stop_token stop,
                                   const std::function<void()>& on_wait) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return std::unexpected(lock_error(file, errno));
  FileLock lock(descriptor);
  std::mutex mutex;
  std::condition_variable_any stopped;
  bool was_told = false;
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return std::unexpected(lock_error(file, errno));
    if (!std::exchange(was_told, true) && on_wait) on_wait();
    std::unique_lock wait(mutex);
    stopped.wait_for(wait, stop, kRetryInterval, [] { return false; });
    if (stop.stop_requested()) return std::unexpected(cancelled());
  }
  return lock;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace onnxlocal
