// Gemma 2 and 3: no place for tools in the template. The reply is
// `{"name": ..., "parameters": {...}}`, often in a code fence.
// https://ai.google.dev/gemma/docs/capabilities/function-calling
#include "dialect/families.h"

namespace onnxlocal {

std::optional<Dialect> detect_gemma(const DialectClues& clues) {
  if (!clues.says("<start_of_turn>")) return std::nullopt;
  Dialect dialect;
  dialect.family = "gemma";
  dialect.calls.input_key = std::string("parameters");
  dialect.calls.between = std::string("\n");
  dialect.calls.may_be_bare = true;
  dialect.calls.bare_openings = {"```tool_code", "```tool_call", "```json", "```"};
  dialect.calls.open_marks = {"```tool_code", "```tool_call"};
  dialect.calls.close_marks = {"```"};
  return dialect;
}

}  // namespace onnxlocal
