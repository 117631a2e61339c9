#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"

namespace onnxlocal {

/// Whether the model's tokenizer begins each text with its beginning token: `add_bos_token` of
/// tokenizer_config.json; empty where it does not say. Errors: model_corrupt, too_large.
Result<std::optional<bool>> adds_bos_token(const std::filesystem::path& model_folder);

}  // namespace onnxlocal
