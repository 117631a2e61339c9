#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "model/model_config.h"

namespace onnx {
class ModelProto;
}  // namespace onnx

namespace onnxlocal {

/// What an exported decoder graph (optimum, transformers.js, onnxruntime-genai's builder) and the
/// `config.json` beside it say together: names, key/value shape and vocabulary from the graph, the
/// rest from the JSON. `where` names the JSON file in errors; `config.model_file` is left alone.
/// Errors: unsupported (not a decoder with past keys and values), model_corrupt.
Result<ModelConfig> config_of_exported_graph(const onnx::ModelProto& model,
                                             std::string_view config_json, std::string_view where);

/// `generation_config.json` names the tokens that really end a turn: they replace config.json's.
Result<void> apply_generation_config(std::string_view json, std::string_view where,
                                     ModelConfig& config);

}  // namespace onnxlocal
