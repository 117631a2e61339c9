#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "matrix/packed_layout.h"

// The input is a file. Where it is taken, it is the one that its entries say, and all of a matrix
// can be read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal::ep;
  const PackedEntry entry{
      .name = "a", .origin = "b", .format = MatrixFormat{.rows = 16, .columns = 32}};
  const int file = memfd_create("input", MFD_CLOEXEC);
  if (file < 0) return 0;
  std::size_t written = 0;
  while (written < size) {
    const ssize_t now = write(file, data + written, size - written);
    if (now <= 0) break;
    written += static_cast<std::size_t>(now);
  }
  std::string path("/proc/self/fd/");
  path += std::to_string(file);
  std::string problem;
  const auto opened = open_packed_file(path, {&entry, 1}, problem);
  close(file);
  const PackedLayout layout = layout_packed_file({&entry, 1});
  if (opened == nullptr) {
    if (problem.empty()) __builtin_trap();
    return 0;
  }
  if (size != layout.file_bytes) __builtin_trap();
  if (std::memcmp(data, layout.head.data(), kSealOffset) != 0) __builtin_trap();
  const std::span<const std::byte> matrix = opened->matrix(0);
  if (std::memcmp(matrix.data(), data + layout.offsets[0], matrix.size()) != 0) __builtin_trap();
  return 0;
}
