#include "base/block_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/descriptor.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

Error system_error(std::string_view what, const fs::path& path, int number) {
  std::string message =
      fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(number));
  switch (number) {
    case ENOENT: return not_found(std::move(message));
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return disk_full(std::move(message), "free some space");
    default: return internal_error(std::move(message));
  }
}

class RealBlockFile final : public BlockFile {
 public:
  RealBlockFile(Descriptor file, fs::path path) : file_(std::move(file)), path_(std::move(path)) {}

  Result<void> read_at(std::uint64_t offset, std::span<std::byte> bytes) const override {
    while (!bytes.empty()) {
      TRY(const off_t at, to_offset(offset));
      const ssize_t count = ::pread(file_.number(), bytes.data(), bytes.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(system_error("read", path_, errno));
      if (count == 0) {
        return std::unexpected(
            internal_error(fmt::format("{} ends at byte {}", path_.string(), offset)));
      }
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return {};
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      TRY(const off_t at, to_offset(offset));
      const ssize_t count = ::pwrite(file_.number(), bytes.data(), bytes.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::unexpected(system_error("write", path_, errno));
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return {};
  }

  Result<void> reserve(std::uint64_t size_bytes) override {
    TRY(const off_t size, to_offset(size_bytes));
    if (::fallocate(file_.number(), 0, 0, size) == 0) return {};
    // Some file systems cannot: then a full disk shows at the first write into it.
    if (errno != EOPNOTSUPP && errno != EINTR) {
      return std::unexpected(system_error("reserve room for", path_, errno));
    }
    if (::ftruncate(file_.number(), size) == 0) return {};
    return std::unexpected(system_error("lengthen", path_, errno));
  }

  Result<std::uint64_t> size_bytes() const override {
    struct stat status{};
    if (::fstat(file_.number(), &status) != 0) {
      return std::unexpected(system_error("look at", path_, errno));
    }
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  Result<off_t> to_offset(std::uint64_t offset) const {
    if (offset <= static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
      return static_cast<off_t>(offset);
    }
    return std::unexpected(
        internal_error(fmt::format("{} has no byte {}", path_.string(), offset)));
  }

  Descriptor file_;
  fs::path path_;
};

int flags_of(BlockFileMode mode) {
  switch (mode) {
    case BlockFileMode::kRead: return O_RDONLY;
    case BlockFileMode::kWrite: return O_RDWR;
    case BlockFileMode::kCreate: return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

}  // namespace

Result<std::unique_ptr<BlockFile>> open_block_file(const fs::path& path, BlockFileMode mode) {
  // A link or a pipe in place of the file is not what we put there.
  constexpr int kAlways = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  Descriptor file(::open(path.c_str(), flags_of(mode) | kAlways, 0600));
  if (!file.is_open()) return std::unexpected(system_error("open", path, errno));
  struct stat status{};
  if (::fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::unexpected(internal_error(fmt::format("{} is no regular file", path.string())));
  }
  return std::make_unique<RealBlockFile>(std::move(file), path);
}

Result<void> make_private_folder(const fs::path& folder) {
  std::error_code error;
  if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), error);
  if (error) return std::unexpected(system_error("create", folder.parent_path(), error.value()));
  if (::mkdir(folder.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return std::unexpected(system_error("create", folder, errno));
  if (::chmod(folder.c_str(), 0700) == 0) return {};
  return std::unexpected(system_error("close others out of", folder, errno));
}

}  // namespace onnxlocal
