#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "import/import_gguf.h"
#include "model/manifest.h"
#include "model/model_config.h"
#include "store/store_paths.h"

namespace onnxlocal {

struct StoredModel {
  std::string name;
  std::filesystem::path path;
  std::uint64_t size_bytes = 0;
  Manifest manifest;
  std::string problem;  ///< Why it cannot be used; empty where it can.
};

/// What a model folder anywhere says of itself, with its problem where it cannot be used.
StoredModel read_stored_model(const std::filesystem::path& folder);

/// The models folder. Any thread; two processes may use the same one.
class ModelStore {
 public:
  explicit ModelStore(StorePaths paths);

  const StorePaths& paths() const { return paths_; }
  /// All model folders, by name; a broken one is listed with its problem.
  std::vector<StoredModel> list() const;
  /// Name of the model used when none is named: `ONNX_LOCAL_MODEL`, else "smollm2-135m-instruct"
  /// where it is there, else the only one there. Errors: not_found, with what to do.
  Result<std::string> default_model() const;
  /// From what a user wrote: a name in the store ("NAME" or "onnx-local/NAME"), a model folder, a
  /// `.onnx` file, or a `.gguf` file (imported first, kept under its file name). Empty: the value
  /// of `ONNX_MODEL_PATH`, else the default model. Errors: not_found naming what is there.
  Result<ModelFolder> resolve(std::string_view name_or_path, std::stop_token stop = {},
                              const ProgressSink& progress = {}) const;
  /// Imports a GGUF file as `options.name` (empty: from the file's name, in lower case, and the
  /// chosen window's size where there is one: "NAME-32k").
  Result<StoredModel> import(const std::filesystem::path& gguf_file, ImportOptions options,
                             std::stop_token stop = {}, const ProgressSink& progress = {}) const;

 private:
  StorePaths paths_;
};

}  // namespace onnxlocal
