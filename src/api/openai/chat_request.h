#pragma once

#include <string>
#include <string_view>

#include "api/openai/options.h"
#include "base/result.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// A request of POST /v1/chat/completions.
struct ChatRequest {
  GenerationRequest generation;
  StreamOptions stream;
  std::string model;  ///< As written, for the echo.
};

/// Reads the JSON text of a request. Fields that only OpenAI's own service has (user, metadata,
/// store, service_tier, ...) and unknown ones are ignored; what would change the answer and is not
/// here, and what is malformed, is refused by name.
/// Errors: invalid_request, too_large.
Result<ChatRequest> parse_chat_request(std::string_view body);

}  // namespace onnxlocal::openai
