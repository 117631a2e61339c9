#include "model/content_hash.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/file_system.h"
#include "base/hash.h"
#include "model/manifest.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kManifestBytesMax = std::size_t{1} << 20;

Result<std::vector<std::string>> lines_of_manifest(const fs::path& folder) {
  const fs::path file = folder / "manifest.json";
  TRY(const std::string text, read_text_file(file, kManifestBytesMax));
  TRY(const Manifest manifest, parse_manifest(text, file.string()));
  std::vector<std::string> lines;
  lines.reserve(manifest.files.size());
  for (const ManifestFile& entry : manifest.files) {
    lines.push_back(fmt::format("{} {} {}", entry.name, entry.size_bytes, entry.sha256));
  }
  return lines;
}

std::vector<std::string> lines_of_folder(const fs::path& folder) {
  std::vector<std::string> lines;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_regular_file(error)) continue;
    const auto time = entry.last_write_time(error).time_since_epoch();
    lines.push_back(
        fmt::format("{} {} {}", entry.path().filename().string(), entry.file_size(error),
                    std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()));
  }
  return lines;
}

}  // namespace

std::string content_hash(const ModelFolder& folder) {
  auto lines = lines_of_manifest(folder.path);
  if (!lines || lines->empty()) lines = lines_of_folder(folder.path);
  std::ranges::sort(*lines);
  // Which of the folder's graphs it is, where there are several.
  const std::string text = fmt::format("{}\n{}", folder.config.model_file, fmt::join(*lines, "\n"));
  return sha256_hex(std::as_bytes(std::span(text)));
}

}  // namespace onnxlocal
