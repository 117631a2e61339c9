#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "model/manifest.h"
#include "model/model_config.h"

namespace onnx {
class ModelProto;
}

namespace onnxlocal {

/// True where a MatMulNBits of the graph has 4 bits and float zero points, and can be rewritten.
bool has_slow_matrices(const onnx::ModelProto& model);

/// The files that the graph's external tensors lie in, each once. Errors: model_corrupt.
Result<std::vector<std::filesystem::path>> external_files(const onnx::ModelProto& model,
                                                          const std::filesystem::path& folder);

/// Bytes that the derived model takes, about.
std::uint64_t eight_bit_bytes(const onnx::ModelProto& model);

/// Turns every slow matrix of `model` (its external tensors lie in `folder`) to 8 bits and writes
/// all external tensors, changed or not, to `data_file`, for ONNX Runtime wants them beside the
/// graph. Returns the file's size and hash. Errors: model_corrupt, disk_full, cancelled, internal.
Result<ManifestFile> write_eight_bit_data(onnx::ModelProto& model,
                                          const std::filesystem::path& folder,
                                          const std::filesystem::path& data_file,
                                          const std::stop_token& stop,
                                          const ProgressSink& progress);

/// `logits_positions` becomes a plain input, which we always feed, and `logits` gets as many rows
/// as it names: our graphs declare one, for onnxruntime-genai's sake.
void relax_logits(onnx::ModelProto& model, const GraphNames& names);

}  // namespace onnxlocal
