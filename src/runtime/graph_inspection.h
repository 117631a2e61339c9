#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <onnxruntime_cxx_api.h>

#include "base/result.h"
#include "model/model_config.h"

namespace onnx {
class ModelProto;
}

namespace onnxlocal {

/// What a decoder needs to know of its graph's inputs and outputs.
struct GraphInterface {
  bool has_attention_mask = false;
  bool has_position_ids = false;
  bool has_logits_positions = false;
  bool has_use_cache_branch = false;  ///< Merged optimum exports: false on the first run.
  ONNXTensorElementDataType kv_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  ONNXTensorElementDataType logits_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  std::uint32_t layers = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocabulary_size = 0;
};

inline constexpr const char* kUseCacheBranch = "use_cache_branch";

/// Reads the session's inputs and outputs; what they leave open comes from `config`.
/// Errors: model_corrupt (a name of the configuration is not in the graph), unsupported (an input
/// or a type that we have no code for).
Result<GraphInterface> inspect_session(const Ort::Session& session, const ModelConfig& config);

/// Bytes of one element: 2 or 4.
std::size_t element_bytes(ONNXTensorElementDataType type);
/// "f32", "f16", "bf16".
const char* element_name(ONNXTensorElementDataType type);

/// `name` with `%d` replaced by the layer.
std::string layer_name(const std::string& name, std::uint32_t layer);

/// True where the graph has GroupQueryAttention, whose past and present may share one buffer.
bool has_group_query_attention(const onnx::ModelProto& model);

}  // namespace onnxlocal
