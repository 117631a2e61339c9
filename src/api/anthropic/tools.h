#pragma once

#include <string>
#include <vector>

#include "api/fields.h"

namespace onnxlocal::anthropic {

/// Checks `tools` and `tool_choice`. Definitions are accepted and not acted on (a note says so):
/// the model then answers in words, which `auto` allows. A choice that demands a call is refused.
/// Errors: invalid_request, naming the path.
Result<void> check_tools(const Fields& request, std::vector<std::string>& notes);

}  // namespace onnxlocal::anthropic
