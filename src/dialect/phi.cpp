// Phi-4-mini: `<|tool_call|>[{"name": ..., "arguments": {...}}]<|/tool_call|>`.
// https://huggingface.co/microsoft/Phi-4-mini-instruct#tool-enabled-function-calling-format
#include "dialect/families.h"

namespace onnxlocal {

std::optional<Dialect> detect_phi(const DialectClues& clues) {
  if (!clues.says("<|tool_call|>") && !clues.has_token("<|tool_call|>")) return std::nullopt;
  Dialect dialect;
  dialect.family = "phi";
  dialect.calls.section_open = std::string("<|tool_call|>[");
  dialect.calls.between = std::string(", ");
  dialect.calls.section_close = std::string("]<|/tool_call|>");
  // "functools" is what it writes where the system text did not tell it of <|tool_call|>.
  dialect.calls.open_marks = {"<|tool_call|>", "functools["};
  dialect.calls.close_marks = {"<|/tool_call|>"};
  // The template takes tools as a field of the system message and knows no calls: text it is.
  dialect.has_native_tools = false;
  return dialect;
}

}  // namespace onnxlocal
