#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "base/file_lock.h"
#include "base/file_system.h"
#include "base/progress.h"
#include "base/result.h"
#include "model/model_config.h"

namespace onnx {
class ModelProto;
}

namespace onnxlocal {

/// The file to open for a model, and what its weights are.
struct PreparedModel {
  std::filesystem::path file;
  std::string weights;  ///< "exact" or "q8": part of the key/value layout's id.
  /// Where the file lies if it could not be kept: removed with this, once the session is open.
  std::optional<StagedFolder> temporary;
  /// Of a derived model in the cache folder: while it is held, nobody removes it.
  std::optional<FileLock> in_use;
};

/// True where the stock CPU provider would run the graph slowly: 4-bit matrices with float zero
/// points have no fast kernel there (SmolLM2-135M: 11 tokens/s against 130).
bool needs_eight_bit_weights(const onnx::ModelProto& model);

/// The model with these matrices in 8 bits (eight_bit.h), which the stock provider runs at 0.9 of
/// the speed of 4 bits. Made once and kept in `cache_folder`/derived, whole or not at all, for all
/// processes; the model's own folder is only read. Format: docs/formats/derived-model.md.
/// Where the cache folder cannot be written, a temporary folder is used; where there is none
/// either, the exact model is given back: both with a warning in the log. Errors: model_corrupt,
/// disk_full (needed and free), cancelled.
Result<PreparedModel> prepare_eight_bit_model(const ModelFolder& folder,
                                              const onnx::ModelProto& model,
                                              const std::filesystem::path& cache_folder,
                                              const std::stop_token& stop,
                                              const ProgressSink& progress);

}  // namespace onnxlocal
