#include "store/store_paths.h"

#include <filesystem>
#include <optional>
#include <string>

#include "base/environment.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// The XDG base directory specification: relative paths are to be ignored.
std::optional<fs::path> absolute_from(const char* variable) {
  const auto value = environment_variable(variable);
  if (!value || !fs::path(*value).is_absolute()) return std::nullopt;
  return fs::path(*value);
}

Result<fs::path> xdg_folder(const char* variable, const char* below_home) {
  if (const auto folder = absolute_from(variable)) return *folder / "onnx-local";
  if (const auto home = environment_variable("HOME")) {
    return fs::path(*home) / below_home / "onnx-local";
  }
  return std::unexpected(not_found("there is no folder for models: HOME is not set",
                                   "Set ONNX_LOCAL_HOME to a folder that can be written."));
}

}  // namespace

Result<StorePaths> store_paths() {
  if (const auto home = environment_variable("ONNX_LOCAL_HOME")) {
    std::error_code failed;
    const fs::path base = fs::absolute(*home, failed);
    if (failed) return std::unexpected(invalid_request("ONNX_LOCAL_HOME is not a path: " + *home));
    return StorePaths{.models = base / "models", .cache = base / "cache"};
  }
  TRY(const fs::path data, xdg_folder("XDG_DATA_HOME", ".local/share"));
  TRY(const fs::path cache, xdg_folder("XDG_CACHE_HOME", ".cache"));
  return StorePaths{.models = data / "models", .cache = cache};
}

}  // namespace onnxlocal
