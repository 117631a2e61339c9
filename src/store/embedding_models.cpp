#include "store/embedding_models.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "store/model_name.h"

namespace onnxlocal {

namespace fs = std::filesystem;

std::vector<EmbeddingFolder> list_embedding_models(const StorePaths& paths) {
  std::vector<EmbeddingFolder> models;
  std::error_code failed;
  for (fs::directory_iterator entry(paths.models, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (!is_model_name(name) || !holds_embedding_model(entry->path())) continue;
    auto folder = read_embedding_folder(entry->path());
    if (folder) {
      folder->name = name;
      models.push_back(*std::move(folder));
    } else {
      LOG_WARNING("the embedding model {} is left out: {}", name, describe(folder.error()));
    }
  }
  std::ranges::sort(models, {}, &EmbeddingFolder::name);
  return models;
}

std::optional<fs::path> find_embedding_model(const StorePaths& paths,
                                             std::string_view name_or_path) {
  if (name_or_path.empty()) return std::nullopt;
  const std::string_view name = without_prefix(name_or_path);
  const fs::path in_store = paths.models / name;
  if (is_model_name(name) && holds_embedding_model(in_store)) return in_store;
  const fs::path path(name_or_path);
  return holds_embedding_model(path) ? std::optional(path) : std::nullopt;
}

}  // namespace onnxlocal
