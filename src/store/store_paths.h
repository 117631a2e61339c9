#pragma once

#include <filesystem>

#include "base/result.h"

namespace onnxlocal {

/// Where things are kept: `$ONNX_LOCAL_HOME/{models,cache}`, else the XDG folders
/// (`~/.local/share/onnx-local/models`, `~/.cache/onnx-local`).
struct StorePaths {
  std::filesystem::path models;
  std::filesystem::path cache;
};
Result<StorePaths> store_paths();

}  // namespace onnxlocal
