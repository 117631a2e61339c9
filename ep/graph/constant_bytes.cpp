#include "graph/constant_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "graph/text.h"

namespace onnxlocal::ep {

struct ConstantBytes::File {
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (memory != nullptr) munmap(memory, size);
  }
  std::byte* memory = nullptr;
  std::size_t size = 0;
  std::int64_t modified_ns = 0;
};

ConstantBytes::ConstantBytes() = default;
ConstantBytes::~ConstantBytes() = default;
ConstantBytes::ConstantBytes(ConstantBytes&&) noexcept = default;
ConstantBytes& ConstantBytes::operator=(ConstantBytes&&) noexcept = default;

std::expected<ConstantBytes::File*, std::string> ConstantBytes::open(const std::string& path) {
  if (const auto found = files_.find(path); found != files_.end()) return found->second.get();
  const auto problem = [&path] {
    return std::unexpected(text("the external data ", path,
                                " cannot be read: ", std::generic_category().message(errno)));
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return problem();
  auto file = std::make_unique<File>();
  struct stat status = {};
  if (fstat(descriptor, &status) != 0) {
    auto error = problem();
    close(descriptor);
    return error;
  }
  file->size = static_cast<std::size_t>(status.st_size);
  file->modified_ns = status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
  if (file->size > 0) {
    void* memory = mmap(nullptr, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (memory == MAP_FAILED) {
      auto error = problem();
      close(descriptor);
      return error;
    }
    file->memory = static_cast<std::byte*>(memory);
  }
  close(descriptor);
  return files_.emplace(path, std::move(file)).first->second.get();
}

std::expected<std::span<const std::byte>, std::string> ConstantBytes::read(
    const Constant& constant, const std::string& name) {
  std::span<const std::byte> bytes = constant.bytes;
  if (constant.place) {
    const auto& place = *constant.place;
    const auto file = open(place.file);
    if (!file) return std::unexpected(file.error());
    const std::size_t size = (*file)->size;
    if (place.offset > size || place.bytes > size - place.offset) {
      return std::unexpected(text("the external data ", place.file, " is too short: '", name,
                                  "' needs bytes ", place.offset, " to ",
                                  place.offset + place.bytes, ", the file has ", size));
    }
    bytes = std::span<const std::byte>((*file)->memory, size).subspan(place.offset, place.bytes);
  }
  if (constant.type == ElementType::kOther) return bytes;
  const auto count = element_count(constant.dims);
  if (!count || bytes.size() != *count * element_bytes(constant.type)) {
    return std::unexpected(
        text("the constant '", name, "' of shape ", dims_text<std::int64_t>(constant.dims), " has ",
             bytes.size(), " bytes, expected ", count ? *count * element_bytes(constant.type) : 0));
  }
  return bytes;
}

void ConstantBytes::drop(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (const auto& [path, file] : files_) {
    if (bytes.data() < file->memory || bytes.data() >= file->memory + file->size) continue;
    // Whole pages inside the range: the ones at its ends may be a neighbour's.
    const auto offset = static_cast<std::size_t>(bytes.data() - file->memory);
    const std::size_t first = (offset + page - 1) / page * page;
    const std::size_t last = (offset + bytes.size()) / page * page;
    if (first < last) madvise(file->memory + first, last - first, MADV_DONTNEED);
  }
}

std::string ConstantBytes::origin(const Constant& constant) {
  if (constant.place) {
    const auto file = open(constant.place->file);
    if (!file) return {};
    return text(constant.place->file, ":", constant.place->offset, "+", constant.place->bytes, " ",
                (*file)->size, " ", (*file)->modified_ns);
  }
  // FNV-1a over 8 bytes at a time: tells apart what nobody made to collide.
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325U;
  std::uint64_t word = 0;
  std::size_t filled = 0;
  for (const auto byte : constant.bytes) {
    word = (word << 8U) | static_cast<std::uint64_t>(byte);
    if (++filled % 8 == 0) hash = (hash ^ word) * 0x100'0000'01b3U;
  }
  hash = (hash ^ word) * 0x100'0000'01b3U;
  return text("memory+", constant.bytes.size(), " ", hash);
}

}  // namespace onnxlocal::ep
