#include "model/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnx/onnx_pb.h>

#include <algorithm>

#include "base/file_system.h"
#include "model/exported_graph.h"
#include "model/limits.h"
#include "model/onnx_file.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

/// The folder's own name, also for "models/x/" and "models/x/.".
std::string folder_name(const fs::path& folder) {
  std::error_code failed;
  auto whole = fs::weakly_canonical(fs::absolute(folder, failed), failed);
  if (failed) whole = folder;
  return whole.has_filename() ? whole.filename().string() : whole.parent_path().filename().string();
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

/// The graph of an export that has no genai_config.json: the usual names, else the only one there.
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
