#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace onnxlocal {

/// A model's name is also its folder's: letters, digits, '.', '_' and '-', first a letter or digit,
/// at most 128 characters. So no name leaves the models folder or hides in it.
bool is_model_name(std::string_view name);

/// The same as an error that says the rule. Errors: invalid_request.
Result<void> check_model_name(std::string_view name);

/// "SmolLM2 (test).Q4_1.gguf" to "smollm2-test-.q4_1": lower case, what no name may hold as '-'.
/// Errors: invalid_request where nothing is left.
Result<std::string> model_name_from_file(const std::filesystem::path& file);

/// What a client or user wrote, without the "onnx-local/" in front.
std::string_view without_prefix(std::string_view name);

}  // namespace onnxlocal
