#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "api/fields.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// A field that holds texts or tokens: a string, tokens, or a list of up to `count_max` strings or
/// lists of tokens. None of them may be empty. Errors: invalid_request, naming the field.
Result<std::vector<RawPrompt>> parse_prompts(const Fields& request, std::string_view name,
                                             std::size_t count_max);

}  // namespace onnxlocal::openai
