#include "model/folder_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/file_system.h"

namespace onnxlocal {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string folder_name(const fs::path& folder) {
  std::error_code failed;
  auto whole = fs::weakly_canonical(fs::absolute(folder, failed), failed);
  if (failed) whole = folder;
  return whole.has_filename() ? whole.filename().string() : whole.parent_path().filename().string();
}

Result<std::string> find_exported_graph(const fs::path& folder) {
  for (const auto* name : {"model.onnx", "decoder_model_merged.onnx", "onnx/model.onnx",
                           "onnx/decoder_model_merged.onnx"}) {
    if (is_file(folder / name)) return std::string(name);
  }
  std::vector<std::string> found;
  for (const auto* part : {"", "onnx"}) {
    std::error_code failed;
    for (auto entry = fs::directory_iterator(folder / part, failed);
         !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
      if (entry->path().extension() != ".onnx") continue;
      found.push_back((fs::path(part) / entry->path().filename()).string());
    }
  }
  std::ranges::sort(found);
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: no genai_config.json and no .onnx file", folder.string()),
                      "name a model folder, an .onnx file or a .gguf file"));
  }
  return std::unexpected(invalid_request(
      fmt::format("{}: several .onnx files: {}", folder.string(), fmt::join(found, ", ")),
      "name one of them"));
}

Result<std::string> read_optional_file(const fs::path& file, std::size_t bytes_max) {
  auto text = read_text_file(file, bytes_max);
  if (!text && text.error().code == ErrorCode::kNotFound) return std::string();
  return text;
}

}  // namespace onnxlocal
