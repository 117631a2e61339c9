#include "base/file_system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>
#include <vector>

#include "base/descriptor.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kWriteBufferBytes = std::size_t{1} << 18;

Error system_error(std::string_view what, const fs::path& path, int number) {
  std::string message =
      fmt::format("{} {}: {}", what, path.string(), std::generic_category().message(number));
  switch (number) {
    case ENOENT:
    case ENOTDIR: return not_found(std::move(message));
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return disk_full(std::move(message), "free some space and try again");
    default: return internal_error(std::move(message));
  }
}

/// A name that no other call in any process uses at the same time.
fs::path temporary_beside(const fs::path& path, std::string_view kind) {
  static std::atomic<unsigned> counter = 0;
  return path.parent_path() /
         fmt::format(".{}.{}-{}-{}", path.filename().string(), kind, ::getpid(), ++counter);
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// Makes a rename in this folder survive a power cut. Some file systems cannot: no error then.
void flush_folder(const fs::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.is_open()) static_cast<void>(::fsync(descriptor.number()));
}

fs::path nearest_existing(const fs::path& path) {
  std::error_code error;
  fs::path existing = fs::absolute(path, error);
  while (!fs::exists(existing, error) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  return existing;
}

Result<dev_t> disk_of(const fs::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return std::unexpected(system_error("cannot look at", path, errno));
  }
  return status.st_dev;
}

Result<void> make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return std::unexpected(system_error("cannot create", folder, error.value()));
  return {};
}

/// Locks a folder for as long as the descriptor is open; none where another holder has it.
Descriptor lock_folder(const fs::path& folder) {
  Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.is_open() && ::flock(descriptor.number(), LOCK_EX | LOCK_NB) != 0) {
    descriptor.close();
  }
  return descriptor;
}

/// Removes the staging folders of `target` that nobody holds: a process that crashed left them.
void remove_abandoned(const fs::path& target) {
  const std::string prefix = fmt::format(".{}.staging-", target.filename().string());
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent_of(target), error)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const Descriptor lock = lock_folder(entry.path());
    if (lock.is_open()) fs::remove_all(entry.path(), error);
  }
}

}  // namespace

Result<MappedFile> MappedFile::open(const fs::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return std::unexpected(system_error("cannot open", path, errno));
  struct stat status{};
  if (::fstat(file.number(), &status) != 0) {
    return std::unexpected(system_error("cannot look at", path, errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return std::unexpected(invalid_request(fmt::format("{} is not a regular file", path.string())));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return MappedFile();
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (start == MAP_FAILED) return std::unexpected(system_error("cannot map", path, errno));
  return MappedFile({static_cast<const std::byte*>(start), size});
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());  // mmap gave it as void*.
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Result<std::string> read_text_file(const fs::path& path, std::size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return std::unexpected(system_error("cannot open", path, errno));
  std::string text;
  std::vector<char> piece(kWriteBufferBytes);
  while (true) {
    const ssize_t count = ::read(file.number(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(system_error("cannot read", path, errno));
    if (count == 0) return text;
    if (text.size() + static_cast<std::size_t>(count) > bytes_max) {
      return std::unexpected(
          too_large(fmt::format("{} is larger than {} bytes", path.string(), bytes_max)));
    }
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
}

Result<void> write_text_file(const fs::path& path, std::string_view text) {
  TRY(auto writer, FileWriter::create(path));
  TRY_VOID(writer.write(std::as_bytes(std::span(text))));
  return writer.commit();
}

struct FileWriter::State {
  fs::path path;
  fs::path temporary;
  Descriptor file;
  std::vector<std::byte> buffer;
  std::uint64_t size_bytes = 0;
  bool is_committed = false;

  State(fs::path to, fs::path by, int descriptor)
      : path(std::move(to)), temporary(std::move(by)), file(descriptor) {}
  ~State() {
    if (!is_committed) ::unlink(temporary.c_str());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Result<void> write_now(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(file.number(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(system_error("cannot write", path, errno));
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

  Result<void> flush_buffer() {
    TRY_VOID(write_now(buffer));
    buffer.clear();
    return {};
  }
};

FileWriter::FileWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
FileWriter::~FileWriter() = default;
FileWriter::FileWriter(FileWriter&&) noexcept = default;
FileWriter& FileWriter::operator=(FileWriter&&) noexcept = default;

Result<FileWriter> FileWriter::create(const fs::path& path) {
  fs::path temporary = temporary_beside(path, "partial");
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return std::unexpected(system_error("cannot create", path, errno));
  return FileWriter(std::make_unique<State>(path, std::move(temporary), file));
}

Result<void> FileWriter::write(std::span<const std::byte> bytes) {
  state_->size_bytes += bytes.size();
  if (state_->buffer.size() + bytes.size() > kWriteBufferBytes) TRY_VOID(state_->flush_buffer());
  if (bytes.size() >= kWriteBufferBytes) return state_->write_now(bytes);
  state_->buffer.insert(state_->buffer.end(), bytes.begin(), bytes.end());
  return {};
}

std::uint64_t FileWriter::size_bytes() const { return state_->size_bytes; }

Result<void> FileWriter::commit() {
  TRY_VOID(state_->flush_buffer());
  if (::fsync(state_->file.number()) != 0) {
    return std::unexpected(system_error("cannot flush", state_->path, errno));
  }
  state_->file.close();
  if (::rename(state_->temporary.c_str(), state_->path.c_str()) != 0) {
    return std::unexpected(system_error("cannot rename to", state_->path, errno));
  }
  state_->is_committed = true;
  flush_folder(parent_of(state_->path));
  return {};
}

StagedFolder::StagedFolder(fs::path staging, fs::path target, Descriptor lock)
    : staging_(std::move(staging)), target_(std::move(target)), lock_(std::move(lock)) {}

StagedFolder::~StagedFolder() { discard(); }

StagedFolder::StagedFolder(StagedFolder&& other) noexcept
    : staging_(std::exchange(other.staging_, {})),
      target_(std::exchange(other.target_, {})),
      lock_(std::move(other.lock_)) {}

StagedFolder& StagedFolder::operator=(StagedFolder&& other) noexcept {
  std::swap(staging_, other.staging_);
  std::swap(target_, other.target_);
  std::swap(lock_, other.lock_);
  return *this;
}

Result<StagedFolder> StagedFolder::create(const fs::path& target) {
  if (!target.has_filename()) return create(target.parent_path());  // "folder/"
  TRY_VOID(make_folders(parent_of(target)));
  remove_abandoned(target);
  fs::path staging = temporary_beside(target, "staging");
  TRY_VOID(make_folders(staging));
  Descriptor lock = lock_folder(staging);
  return StagedFolder(std::move(staging), target, std::move(lock));
}

Result<void> StagedFolder::commit() {
  flush_folder(staging_);
  int outcome =
      ::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE);
  const bool is_there = outcome != 0 && errno == EEXIST;
  if (is_there) {
    // The two folders change places in one step; the earlier one then goes with the staging name.
    outcome = ::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE);
  }
  bool holds_earlier = is_there;
  if (outcome != 0 && errno == EINVAL) {  // A file system without these flags (NFS, some FUSE).
    std::error_code ignored;
    fs::remove_all(target_, ignored);
    outcome = ::rename(staging_.c_str(), target_.c_str());
    holds_earlier = false;
  }
  if (outcome != 0) return std::unexpected(system_error("cannot rename to", target_, errno));
  flush_folder(parent_of(target_));
  if (!holds_earlier) staging_.clear();
  discard();
  return {};
}

void StagedFolder::discard() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
  staging_.clear();
  lock_.close();
}

Result<std::uint64_t> free_disk_bytes(const fs::path& path) {
  std::error_code error;
  const fs::path existing = nearest_existing(path);
  const fs::space_info space = fs::space(existing, error);
  if (error) return std::unexpected(system_error("cannot measure", existing, error.value()));
  return space.available;
}

Result<bool> are_on_one_disk(const fs::path& a, const fs::path& b) {
  TRY(const dev_t disk_a, disk_of(nearest_existing(a)));
  TRY(const dev_t disk_b, disk_of(nearest_existing(b)));
  return disk_a == disk_b;
}

}  // namespace onnxlocal
