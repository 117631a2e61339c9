#include "model/model_config.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "base/file_system.h"
#include "model/embedding_folder.h"
#include "model/exported_graph.h"
#include "model/folder_files.h"
#include "model/limits.h"
#include "model/onnx_file.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

Result<void> check_model_file(const ModelFolder& model, std::string_view named_by) {
  const auto file = model.model_file();
  std::error_code failed;
  const auto size = fs::file_size(file, failed);
  if (failed || !is_file(file)) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: missing, though {} names it", file.string(), named_by),
                      "import or download the model again"));
  }
  if (size == 0) {
    return std::unexpected(
        model_corrupt(file.string() + ": expected an ONNX model, found an empty file",
                      "import or download the model again"));
  }
  return {};
}

Result<ModelFolder> read_genai_folder(const fs::path& folder, const std::string& model_file) {
  const auto config_file = folder / "genai_config.json";
  TRY(const auto text, read_text_file(config_file, kConfigBytesMax));
  ModelFolder model;
  model.path = folder;
  model.name = folder_name(folder);
  TRY(model.config, parse_genai_config(text, config_file.string()));
  if (!model_file.empty()) model.config.model_file = model_file;
  TRY_VOID(check_model_file(model, config_file.string()));
  return model;
}

/// An optimum or transformers.js export: config.json, and what the graph itself says.
Result<ModelFolder> read_exported_folder(const fs::path& folder, const std::string& model_file) {
  ModelFolder model;
  model.path = folder;
  model.name = folder_name(folder);
  if (holds_embedding_model(folder)) {
    return std::unexpected(unsupported(
        fmt::format("{} is an embedding model: it gives vectors, not text", model.name),
        "name a model that writes text; `onnx-local serve` offers the embedding models of the "
        "models folder at /v1/embeddings"));
  }
  const auto config_file = folder / "config.json";
  TRY(const auto text, read_text_file(config_file, kConfigBytesMax));
  onnx::ModelProto proto;
  TRY_VOID(read_onnx_file(folder / model_file, proto));
  auto config = config_of_exported_graph(proto, text, config_file.string());
  if (!config) return std::unexpected(with_context((folder / model_file).string(), config.error()));
  model.config = *std::move(config);
  model.config.model_file = model_file;
  const auto generation_file = folder / "generation_config.json";
  if (is_file(generation_file)) {
    TRY(const auto generation, read_text_file(generation_file, kConfigBytesMax));
    TRY_VOID(apply_generation_config(generation, generation_file.string(), model.config));
  }
  return model;
}

Result<ModelFolder> read_folder(const fs::path& folder) {
  if (is_file(folder / "genai_config.json")) return read_genai_folder(folder, {});
  TRY(const auto model_file, find_exported_graph(folder));
  if (is_file(folder / "config.json")) return read_exported_folder(folder, model_file);
  return std::unexpected(
      model_corrupt(fmt::format("{}: expected genai_config.json or config.json beside {}",
                                folder.string(), model_file),
                    "keep the whole folder that the model came in"));
}

Result<ModelFolder> read_bare_file(const fs::path& file) {
  auto folder = file.parent_path();
  if (folder.empty()) folder = ".";
  // transformers.js keeps graphs one folder down: NAME/onnx/model_q4.onnx, NAME/config.json.
  std::vector<std::pair<fs::path, fs::path>> places = {{folder, file.filename()}};
  std::error_code failed;
  const auto whole = fs::weakly_canonical(folder, failed);
  if (!failed && whole.filename() == "onnx") {
    places.emplace_back(whole.parent_path(), fs::path("onnx") / file.filename());
  }
  for (const auto& [root, name] : places) {
    if (is_file(root / "genai_config.json")) return read_genai_folder(root, name.string());
    if (is_file(root / "config.json")) return read_exported_folder(root, name.string());
  }
  return std::unexpected(model_corrupt(
      fmt::format("{}: expected genai_config.json or config.json beside it", file.string()),
      "keep the whole folder that the model came in"));
}

}  // namespace

Result<ModelFolder> read_model_folder(const fs::path& folder_or_onnx_file) {
  if (is_folder(folder_or_onnx_file)) return read_folder(folder_or_onnx_file);
  if (!is_file(folder_or_onnx_file)) {
    return std::unexpected(
        not_found(folder_or_onnx_file.string() + ": no such model folder or .onnx file"));
  }
  if (folder_or_onnx_file.extension() != ".onnx") {
    return std::unexpected(
        unsupported(folder_or_onnx_file.string() + ": expected a model folder or an .onnx file"));
  }
  return read_bare_file(folder_or_onnx_file);
}

}  // namespace onnxlocal
