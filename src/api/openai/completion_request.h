#pragma once

#include <string>
#include <string_view>

#include "api/openai/options.h"
#include "base/result.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// A request of POST /v1/completions: a prompt that is continued as it stands.
struct CompletionRequest {
  GenerationRequest generation;  ///< With a `raw_prompt`.
  StreamOptions stream;
  std::string model;     ///< As written, for the echo.
  bool is_echo = false;  ///< The answer begins with the prompt.
};

/// Reads the JSON text of a request. One prompt: a string, or tokens; a list may hold one of them.
/// Errors: invalid_request, naming the field; too_large.
Result<CompletionRequest> parse_completion_request(std::string_view body);

}  // namespace onnxlocal::openai
