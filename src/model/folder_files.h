#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace onnxlocal {

/// True where there is a regular file.
bool is_file(const std::filesystem::path& path);

/// The folder's own name, also for "models/x/" and "models/x/.".
std::string folder_name(const std::filesystem::path& folder);

/// The graph of an export that has no genai_config.json: the usual names, else the only one there,
/// relative to the folder. Errors: model_corrupt (none), invalid_request (several).
Result<std::string> find_exported_graph(const std::filesystem::path& folder);

/// A small file's text, empty where there is no such file. Errors: too_large, unavailable.
Result<std::string> read_optional_file(const std::filesystem::path& file, std::size_t bytes_max);

}  // namespace onnxlocal
