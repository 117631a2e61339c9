#include "store/disk_preflight.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file_system.h"

namespace onnxlocal {

namespace {

/// Tokenizer, graph and manifest: a few megabytes for vocabularies of today.
constexpr std::uint64_t kSmallFilesBytes = std::uint64_t{16} << 20;

/// An 8-bit block of 32 values has a float scale and a zero point of one byte.
constexpr std::uint64_t kBlockValues = 32;
constexpr std::uint64_t kBlockOverheadBytes = 5;

double to_megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

std::uint64_t import_bytes_estimate(std::uint64_t gguf_bytes) {
  // Weights keep their types; scales and zero-points are laid out anew, which costs up to a tenth.
  return gguf_bytes + gguf_bytes / 10 + kSmallFilesBytes;
}

std::uint64_t sidecar_bytes_estimate(const GgufFile& file) {
  bool has_q4_1 = false;
  std::uint64_t bytes = kSmallFilesBytes;
  for (const GgufTensor& tensor : file.tensors()) {
    const bool is_q4_1 = tensor.type == GgmlType::kQ4_1;
    has_q4_1 = has_q4_1 || is_q4_1;
    const std::uint64_t values = tensor.value_count();
    bytes += is_q4_1 ? values + values / kBlockValues * kBlockOverheadBytes
                     : import_bytes_estimate(tensor.data.size()) - kSmallFilesBytes;
  }
  return has_q4_1 ? bytes : 0;
}

std::uint64_t packed_bytes_estimate(const GgufFile& file) {
  std::uint64_t quantized = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    const bool is_float = tensor.type == GgmlType::kF32 || tensor.type == GgmlType::kF16 ||
                          tensor.type == GgmlType::kBf16;
    if (!is_float) quantized += tensor.data.size();
  }
  return quantized == 0 ? 0 : import_bytes_estimate(quantized);
}

Result<void> check_import_space(const StorePaths& paths, const std::filesystem::path& gguf_file) {
  const auto file = GgufFile::open(gguf_file);
  if (!file) return {};  // The import says what is wrong with it.
  const std::uint64_t model = import_bytes_estimate(file->size_bytes());
  const std::uint64_t derived =
      std::max(sidecar_bytes_estimate(*file), packed_bytes_estimate(*file));
  const auto is_one_disk = are_on_one_disk(paths.models, paths.cache);
  if (!is_one_disk || *is_one_disk) return check_disk_space(paths.models, model + derived);
  TRY_VOID(check_disk_space(paths.models, model));
  return check_disk_space(paths.cache, derived);
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
