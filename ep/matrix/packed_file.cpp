#include "matrix/packed_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <utility>

#include "matrix/packed_layout.h"

namespace onnxlocal::ep {

namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  bool is_open() const { return number_ >= 0; }
  int number() const { return number_; }

 private:
  int number_;
};

/// Mapped memory with matrices in it.
class MappedFile final : public PackedFile {
 public:
  MappedFile(void* memory, PackedLayout layout) : memory_(memory), layout_(std::move(layout)) {}
  ~MappedFile() override { munmap(memory_, layout_.file_bytes); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> matrix(std::size_t index) const override { return writable(index); }
  std::span<std::byte> writable(std::size_t index) const {
    return {bytes() + layout_.offsets[index], layout_.sizes[index]};
  }
  std::byte* bytes() const { return static_cast<std::byte*>(memory_); }
  const PackedLayout& layout() const { return layout_; }
  void make_read_only() const { mprotect(memory_, layout_.file_bytes, PROT_READ); }

 private:
  void* memory_;
  PackedLayout layout_;
};

std::string system_error(const char* what, const fs::path& path, int number = errno) {
  return std::string(what) + " " + path.string() + ": " + std::strerror(number);
}

/// This run of the operating system; zeros where it does not say.
std::array<std::uint8_t, 16> boot_id() {
  std::array<std::uint8_t, 16> id{};
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  std::size_t digits = 0;
  for (const char c : text) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && !(c >= 'a' && c <= 'f')) continue;
    if (digits == 2 * id.size()) break;
    const auto value = static_cast<unsigned>(is_digit ? c - '0' : c - 'a' + 10);
    id[digits / 2] = static_cast<std::uint8_t>(id[digits / 2] << 4U | value);
    ++digits;
  }
  return id;
}

PackedSeal open_seal() {
  PackedSeal seal{};
  std::ranges::copy(boot_id(), seal.boot_id);
  return seal;
}

bool is_same(const PackedSeal& a, const PackedSeal& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

constexpr PackedSeal kClosedSeal{.boot_id = {}, .state = kSealed};

/// Brings a file that another run wrote to the disk, so that it outlives this boot. Waits until the
/// system has had the time to do most of it, or else a start would.
void seal_later(const fs::path& path, const struct stat& status) {
  constexpr std::time_t kSettledSeconds = 60;
  if (std::time(nullptr) - status.st_mtime < kSettledSeconds) return;
  const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat now{};
  // The path may hold another file by now.
  if (!file.is_open() || fstat(file.number(), &now) != 0 || now.st_ino != status.st_ino) return;
  if (fdatasync(file.number()) != 0) return;
  // Where this fails the file stays as it was: good until the next boot.
  const ssize_t written = pwrite(file.number(), &kClosedSeal, sizeof kClosedSeal, kSealOffset);
  static_cast<void>(written);
}

std::vector<std::byte> read_head(int file, std::size_t size) {
  std::vector<std::byte> head(size);
  std::size_t got = 0;
  while (got < size) {
    const ssize_t now = pread(file, head.data() + got, size - got, static_cast<off_t>(got));
    if (now <= 0) break;
    got += static_cast<std::size_t>(now);
  }
  head.resize(got);
  return head;
}

/// Room for the file, or why there is none and how much is needed. The limit first: beyond it a
/// signal would be sent.
std::string take_room(int file, std::size_t size, const fs::path& path) {
  rlimit limit{};
  int problem = 0;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      size > limit.rlim_cur) {
    problem = EFBIG;
  } else {
    problem = posix_fallocate(file, 0, static_cast<off_t>(size));
  }
  if (problem == 0) return "";
  constexpr std::size_t kMegabyte = 1'000'000;
  return system_error("no room for the packed weights in", path, problem) + "; " +
         std::to_string((size + kMegabyte - 1) / kMegabyte) +
         " MB are needed, or they are packed anew at every start";
}

/// A file beside `path` under a name of its own, removed again unless it was renamed.
class Temporary {
 public:
  explicit Temporary(const fs::path& path) : name_(path.string() + ".tmp.XXXXXX") {
    file_ = mkostemp(name_.data(), O_CLOEXEC);
    // Held until the end: what is not locked was left by a process that died.
    if (file_ >= 0) flock(file_, LOCK_EX | LOCK_NB);
  }
  ~Temporary() {
    if (file_ < 0) return;
    if (!renamed_) unlink(name_.c_str());
    close(file_);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  int file() const { return file_; }
  const std::string& name() const { return name_; }
  bool rename_to(const fs::path& path) {
    renamed_ = rename(name_.c_str(), path.c_str()) == 0;
    return renamed_;
  }

 private:
  std::string name_;
  int file_ = -1;
  bool renamed_ = false;
};

/// Removes what writers of `path` left that did not live to rename it.
void remove_leftovers(const fs::path& path) {
  const std::string prefix = path.filename().string() + ".tmp.";
  std::error_code ignored;
  for (fs::directory_iterator it(path.parent_path(), ignored), end; !ignored && it != end;
       it.increment(ignored)) {
    if (!it->path().filename().string().starts_with(prefix)) continue;
    const Descriptor file(open(it->path().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    struct stat status{};
    if (!file.is_open() || fstat(file.number(), &status) != 0) continue;
    // Another writer may be between making its file and locking it.
    const bool is_old = std::time(nullptr) - status.st_mtime > 60;
    if (is_old && flock(file.number(), LOCK_EX | LOCK_NB) == 0) unlink(it->path().c_str());
  }
}

}  // namespace

std::unique_ptr<PackedFile> open_packed_file(const fs::path& path,
                                             std::span<const PackedEntry> entries,
                                             std::string& problem) {
  problem.clear();
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (errno != ENOENT) problem = system_error("cannot open", path);
    return nullptr;
  }
  PackedLayout layout = layout_packed_file(entries);
  struct stat status{};
  if (fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode) ||
      static_cast<std::size_t>(status.st_size) != layout.file_bytes) {
    problem =
        path.string() + " has another size than these weights: it is of another model, or cut";
    return nullptr;
  }
  std::vector<std::byte> head = read_head(file.number(), layout.head.size());
  PackedSeal seal{};
  if (head.size() == layout.head.size()) {
    std::memcpy(&seal, head.data() + kSealOffset, sizeof seal);
    std::memcpy(head.data() + kSealOffset, &kClosedSeal, sizeof seal);
  }
  if (head != layout.head) {
    problem = path.string() + " is damaged, of another version, or holds other weights";
    return nullptr;
  }
  const bool is_sealed = is_same(seal, kClosedSeal);
  if (!is_sealed && !is_same(seal, open_seal())) {
    problem = path.string() + " may have lost bytes when the system went down";
    return nullptr;
  }
  void* memory = mmap(nullptr, layout.file_bytes, PROT_READ, MAP_SHARED, file.number(), 0);
  if (memory == MAP_FAILED) {
    problem = system_error("cannot map", path);
    return nullptr;
  }
  auto mapped = std::make_unique<MappedFile>(memory, std::move(layout));
  madvise(memory, mapped->layout().file_bytes, MADV_WILLNEED);
  if (!is_sealed) seal_later(path, status);
  return mapped;
}

std::unique_ptr<PackedFile> write_packed_file(const fs::path& path,
                                              std::span<const PackedEntry> entries, PackInto pack,
                                              void* context, std::string& problem) {
  problem.clear();
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  remove_leftovers(path);
  Temporary temporary(path);
  if (temporary.file() < 0) {
    problem = system_error("cannot write beside", path);
    return nullptr;
  }
  PackedLayout layout = layout_packed_file(entries);
  problem = take_room(temporary.file(), layout.file_bytes, path);
  if (!problem.empty()) return nullptr;
  void* memory =
      mmap(nullptr, layout.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, temporary.file(), 0);
  if (memory == MAP_FAILED) {
    problem = system_error("cannot map", path);
    return nullptr;
  }
  auto mapped = std::make_unique<MappedFile>(memory, std::move(layout));
  for (std::size_t i = 0; i < entries.size(); ++i) pack(context, i, mapped->writable(i));
  const std::vector<std::byte>& head = mapped->layout().head;
  std::memcpy(mapped->bytes(), head.data(), head.size());
  const PackedSeal seal = open_seal();
  std::memcpy(mapped->bytes() + kSealOffset, &seal, sizeof seal);
  mapped->make_read_only();
  if (!temporary.rename_to(path)) {
    problem = system_error("cannot rename to", path);
    return nullptr;
  }
  return mapped;
}

std::unique_ptr<PackedFile> pack_in_memory(std::span<const PackedEntry> entries, PackInto pack,
                                           void* context) {
  PackedLayout layout = layout_packed_file(entries);
  void* memory = mmap(nullptr, layout.file_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  madvise(memory, layout.file_bytes, MADV_HUGEPAGE);
#endif
  auto mapped = std::make_unique<MappedFile>(memory, std::move(layout));
  for (std::size_t i = 0; i < entries.size(); ++i) pack(context, i, mapped->writable(i));
  mapped->make_read_only();
  return mapped;
}

}  // namespace onnxlocal::ep
