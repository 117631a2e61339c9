#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace onnxlocal {

/// Reads the graph of an `.onnx` file, external data left where it is. Bounded in size.
/// Errors: not_found, model_corrupt (empty, truncated, not ONNX), too_large.
Result<void> read_onnx_file(const std::filesystem::path& file, onnx::ModelProto& model);
/// Writes it whole or not at all.
Result<void> write_onnx_file(const std::filesystem::path& file, const onnx::ModelProto& model);

/// Where a tensor's bytes lie outside the `.onnx` file.
struct ExternalData {
  std::filesystem::path file;  ///< Inside the model's folder; a path that leaves it is refused.
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

/// Where the bytes of `tensor` are, from its own entry; its size is computed from shape and type.
/// `tensor` keeps its data outside (`data_location` EXTERNAL). The file itself is not looked at.
/// Errors: model_corrupt (no location, a path that leaves `folder`, an impossible shape, a length
/// that is not the shape's).
Result<ExternalData> external_data(const onnx::TensorProto& tensor,
                                   const std::filesystem::path& folder);

/// Checks every external tensor of `model` against the files in `folder`: each file is there and
/// long enough for the tensor's own shape and type. The first that is not gives model_corrupt,
/// naming the file, the expected and the found size, and what to do.
Result<void> check_external_data(const onnx::ModelProto& model,
                                 const std::filesystem::path& folder);

}  // namespace onnxlocal
