#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "model/embedding_folder.h"
#include "store/store_paths.h"

namespace onnxlocal {

/// The embedding models of the models folder, by name; one that cannot be used is left out, with a
/// warning.
std::vector<EmbeddingFolder> list_embedding_models(const StorePaths& paths);

/// The folder of an embedding model, from a name in the store or a path; nothing where it is
/// another model, or none.
std::optional<std::filesystem::path> find_embedding_model(const StorePaths& paths,
                                                          std::string_view name_or_path);

}  // namespace onnxlocal
