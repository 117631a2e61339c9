// Mistral: `[TOOL_CALLS] [{"name": ..., "arguments": {...}}]` up to tokenizer v7, and since v11
// `[TOOL_CALLS]name[ARGS]{...}` for each call.
// https://github.com/mistralai/mistral-common (instruct tokenizers)
#include "dialect/families.h"

namespace onnxlocal {

std::optional<Dialect> detect_mistral(const DialectClues& clues) {
  const bool calls = clues.says("[TOOL_CALLS]");
  if (!calls && !(clues.says("[INST]") && clues.has_token("[TOOL_CALLS]"))) return std::nullopt;
  Dialect dialect;
  dialect.family = "mistral";
  dialect.calls.open_marks = {"[TOOL_CALLS]"};
  if (clues.says("[ARGS]")) {
    dialect.calls.body = CallSyntax::Body::kNamed;
    dialect.calls.call_open = std::string("[TOOL_CALLS]");
    dialect.calls.name_end = std::string("[ARGS]");
    dialect.calls.close_marks = {"[ARGS]", "[CALL_ID]"};
  } else {
    dialect.calls.section_open = std::string("[TOOL_CALLS] [");
    dialect.calls.between = std::string(", ");
    dialect.calls.section_close = std::string("]");
  }
  dialect.has_native_tools = calls && clues.says("[AVAILABLE_TOOLS]");
  dialect.thinking = {.open = "[THINK]", .close = "[/THINK]"};
  dialect.can_think = clues.says("[THINK]");
  return dialect;
}

}  // namespace onnxlocal
