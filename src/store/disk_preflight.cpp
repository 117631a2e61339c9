#include "store/disk_preflight.h"

#include <fmt/format.h>

#include "base/file_system.h"

namespace onnxlocal {

namespace {

/// Tokenizer, graph and manifest: a few megabytes for vocabularies of today.
constexpr std::uint64_t kSmallFilesBytes = std::uint64_t{16} << 20;

double to_megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

std::uint64_t import_bytes_estimate(std::uint64_t gguf_bytes) {
  // Weights keep their types; scales and zero-points are laid out anew, which costs up to a tenth.
  return gguf_bytes + gguf_bytes / 10 + kSmallFilesBytes;
}

Result<void> check_disk_space(const std::filesystem::path& folder, std::uint64_t needed_bytes) {
  TRY(const std::uint64_t free_bytes, free_disk_bytes(folder));
  if (free_bytes >= needed_bytes) return {};
  return std::unexpected(
      disk_full(fmt::format("{:.0f} MB are needed in {}, and {:.0f} MB are free",
                            to_megabytes(needed_bytes), folder.string(), to_megabytes(free_bytes)),
                "Free some space, or keep models elsewhere: ONNX_LOCAL_HOME=/path/with/room."));
}

}  // namespace onnxlocal
