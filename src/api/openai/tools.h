#pragma once

#include "api/fields.h"
#include "base/json_text.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// How a function is described: chat completions nest it in a `function` member, responses do not.
enum class ToolShape { kNested, kFlat };

/// `tools`, `tool_choice` and `parallel_tool_calls`. `body` is the text of `request`: schemas are
/// kept as the client wrote them. Errors: invalid_request, naming the path, and the type of a tool
/// that is no function.
Result<void> parse_tools(const Fields& request, json::TextView body, ToolShape shape,
                         GenerationRequest& generation);

/// `response_format` of chat completions, `text.format` of responses: text, json_object or
/// json_schema. `text` is the text of `format`.
Result<OutputFormat> parse_output_format(const Fields& format, json::TextView text,
                                         ToolShape shape);

}  // namespace onnxlocal::openai
