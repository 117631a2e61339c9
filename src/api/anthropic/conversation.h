#pragma once

#include <vector>

#include "api/fields.h"
#include "generation/message.h"

namespace onnxlocal::anthropic {

/// `system` and `messages` in the canonical form that request.h describes.
/// Errors: invalid_request, naming the path.
Result<std::vector<Message>> parse_conversation(const Fields& request);

}  // namespace onnxlocal::anthropic
