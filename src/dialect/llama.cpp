// Llama 3.1 to 3.3: the reply is `{"name": ..., "parameters": {...}}`, maybe after <|python_tag|>.
// https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/#json-based-tool-calling
#include "dialect/families.h"

namespace onnxlocal {

std::optional<Dialect> detect_llama(const DialectClues& clues) {
  const bool is_llama = clues.says("<|start_header_id|>") || clues.says("<|python_tag|>");
  if (!is_llama) return std::nullopt;
  Dialect dialect;
  dialect.family = "llama";
  dialect.calls.input_key = std::string("parameters");
  dialect.calls.between = "; ";
  dialect.calls.may_be_bare = true;
  dialect.calls.bare_openings = {"```json", "```"};
  if (clues.has_token("<|python_tag|>")) dialect.calls.open_marks = {"<|python_tag|>"};
  dialect.has_native_tools =
      clues.says("tools") && clues.says("tool_calls") && clues.says("parameters");
  return dialect;
}

}  // namespace onnxlocal
