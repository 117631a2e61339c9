#include "store/model_store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/environment.h"
#include "base/file_lock.h"
#include "base/file_system.h"
#include "base/hash.h"
#include "model/embedding_folder.h"
#include "store/disk_preflight.h"
#include "store/model_name.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultModel = "smollm2-135m-instruct";
constexpr std::size_t kManifestBytesMax = std::size_t{4} << 20;
constexpr std::string_view kImportHint =
    "Import one: onnx-local import MODEL.gguf (or `make build`, which imports the default model).";

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::uint64_t folder_bytes(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  for (fs::recursive_directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) bytes += entry->file_size(ignored);
  }
  return bytes;
}

/// Reads the manifest where there is one (onnxruntime-genai's folders have none) and checks what
/// can be checked quickly. `manifest` is filled even where something else is wrong.
Result<void> inspect_folder(const fs::path& folder, Manifest& manifest) {
  const fs::path file = folder / "manifest.json";
  if (is_file(file)) {
    TRY(const std::string text, read_text_file(file, kManifestBytesMax));
    TRY(manifest, parse_manifest(text, file.string()));
    TRY_VOID(verify_files(folder, manifest, /*check_hashes=*/false));
  }
  if (holds_embedding_model(folder)) {
    TRY(const EmbeddingFolder model, read_embedding_folder(folder));
    static_cast<void>(model);
    return {};
  }
  TRY(const ModelFolder model, read_model_folder(folder));
  static_cast<void>(model);
  return {};
}

Result<Manifest> manifest_of(const fs::path& folder) {
  TRY(const std::string text, read_text_file(folder / "manifest.json", kManifestBytesMax));
  return parse_manifest(text, (folder / "manifest.json").string());
}

/// True where the window of a folder is the one that is asked for.
bool has_context(const Manifest& manifest, const std::optional<ContextChoice>& choice) {
  if (!choice || !manifest.context) return !choice && !manifest.context;
  return manifest.context->tokens == choice->tokens &&
         (!choice->scaling || manifest.context->rope_scaling == to_string(*choice->scaling));
}

/// True where `folder` was made from this very file, with this window, and is sound.
Result<bool> is_made_from(const fs::path& folder, const fs::path& gguf_file,
                          const std::optional<ContextChoice>& context, std::stop_token stop,
                          const ProgressSink& progress) {
  if (!is_folder(folder)) return false;
  const auto manifest = manifest_of(folder);
  if (!manifest || !verify_files(folder, *manifest, /*check_hashes=*/false)) return false;
  if (!has_context(*manifest, context)) return false;
  TRY(const std::string revision, sha256_file(gguf_file, stop, progress));
  return manifest->revision == revision;
}

Result<void> make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed) return {};
  return std::unexpected(
      unavailable(fmt::format("cannot make the folder {}: {}", folder.string(), failed.message()),
                  "Set ONNX_LOCAL_HOME to a folder that can be written."));
}

/// What imports of `name` left behind when they were killed. REQUIRES: the caller holds its lock.
void remove_leftovers(const fs::path& models, std::string_view name) {
  const std::string prefix = fmt::format(".{}.staging-", name);
  std::error_code failed;
  for (fs::directory_iterator entry(models, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code ignored;
    if (entry->path().filename().string().starts_with(prefix)) {
      fs::remove_all(entry->path(), ignored);
    }
  }
}

/// "-32k": what tells a folder with a chosen window from the one with the file's own.
std::string context_suffix(const std::optional<ContextChoice>& context) {
  if (!context) return {};
  constexpr std::uint32_t kKilo = 1024;
  const bool is_even = context->tokens % kKilo == 0;
  return is_even ? fmt::format("-{}k", context->tokens / kKilo)
                 : fmt::format("-{}", context->tokens);
}

Result<std::string> import_name(const fs::path& gguf_file, const ImportOptions& options) {
  std::string name(without_prefix(options.name));
  if (name.empty()) {
    TRY(name, model_name_from_file(gguf_file));
    name += context_suffix(options.context);
  }
  TRY_VOID(check_model_name(name));
  return name;
}

std::vector<std::string> names_in(const fs::path& models) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator entry(models, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    // Locks and half-written folders begin with a dot, which no name does.
    if (is_model_name(name) && is_folder(entry->path())) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

StoredModel read_stored_model(const fs::path& folder) {
  StoredModel model;
  model.name = folder.filename().string();
  model.path = folder;
  model.size_bytes = folder_bytes(folder);
  if (const auto sound = inspect_folder(folder, model.manifest); !sound) {
    model.problem = sound.error().message;
  }
  return model;
}

ModelStore::ModelStore(StorePaths paths) : paths_(std::move(paths)) {}

std::vector<StoredModel> ModelStore::list() const {
  std::vector<StoredModel> models;
  for (const std::string& name : names_in(paths_.models)) {
    models.push_back(read_stored_model(paths_.models / name));
  }
  return models;
}

Result<std::string> ModelStore::default_model() const {
  if (const auto chosen = environment_variable("ONNX_LOCAL_MODEL")) {
    return std::string(without_prefix(*chosen));
  }
  auto names = names_in(paths_.models);
  if (std::ranges::find(names, kDefaultModel) != names.end()) return std::string(kDefaultModel);
  std::erase_if(names, [this](const std::string& name) {
    return holds_embedding_model(paths_.models / name);
  });
  if (names.size() == 1) return names.front();
  if (names.empty()) {
    return std::unexpected(not_found(fmt::format("there is no model in {}", paths_.models.string()),
                                     std::string(kImportHint)));
  }
  return std::unexpected(
      not_found(fmt::format("no model is named, and there are several: {}", fmt::join(names, ", ")),
                "Name one, or set ONNX_LOCAL_MODEL."));
}

Result<ModelFolder> ModelStore::resolve(std::string_view name_or_path, std::stop_token stop,
                                        const ProgressSink& progress) const {
  std::string wanted(name_or_path);
  if (wanted.empty()) {
    if (auto path = environment_variable("ONNX_MODEL_PATH")) {
      wanted = *std::move(path);
    } else {
      TRY(wanted, default_model());
    }
  }
  const std::string name(without_prefix(wanted));
  if (is_model_name(name) && is_folder(paths_.models / name)) {
    return read_model_folder(paths_.models / name);
  }
  const fs::path path(wanted);
  if (path.extension() == ".gguf" && is_file(path)) {
    TRY(const std::string file_name, model_name_from_file(path));
    TRY(const bool is_here, is_made_from(paths_.models / file_name, path, {}, stop, progress));
    if (!is_here) {
      TRY(const StoredModel model, import(path, {.name = file_name}, stop, progress));
      static_cast<void>(model);
    }
    return read_model_folder(paths_.models / file_name);
  }
  if (is_folder(path) || is_file(path)) return read_model_folder(path);
  const auto names = names_in(paths_.models);
  return std::unexpected(
      not_found(fmt::format("there is no model \"{}\", by name or as a file or folder", wanted),
                names.empty() ? std::string(kImportHint)
                              : fmt::format("Models here: {}.", fmt::join(names, ", "))));
}

Result<StoredModel> ModelStore::import(const fs::path& gguf_file, ImportOptions options,
                                       std::stop_token stop, const ProgressSink& progress) const {
  if (!is_file(gguf_file)) {
    return std::unexpected(
        not_found(fmt::format("there is no file {}", gguf_file.string()), "Name a .gguf file."));
  }
  TRY(const std::string target_name, import_name(gguf_file, options));
  TRY_VOID(make_folder(paths_.models));
  bool has_waited = false;
  TRY(const FileLock lock,
      FileLock::acquire(paths_.models / fmt::format(".{}.lock", target_name), stop, [&] {
        has_waited = true;
        if (progress) progress("waiting for another import of this model", 0, 0);
      }));
  const fs::path target = paths_.models / target_name;
  if (has_waited) {
    // Another process has just made it, most likely from the same file.
    TRY(const bool is_here, is_made_from(target, gguf_file, options.context, stop, progress));
    if (is_here) return read_stored_model(target);
  }
  remove_leftovers(paths_.models, target_name);
  TRY_VOID(check_import_space(paths_, gguf_file));
  options.name = target_name;
  TRY(const Manifest manifest, import_gguf(gguf_file, target, options, stop, progress));
  static_cast<void>(manifest);
  return read_stored_model(target);
}

}  // namespace onnxlocal
