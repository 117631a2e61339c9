// NousResearch's Hermes, and Qwen 2.5 and 3 after it: `<tool_call>\n{...}\n</tool_call>`, one each.
// https://huggingface.co/NousResearch/Hermes-3-Llama-3.1-8B#prompt-format-for-function-calling
#include "dialect/families.h"

namespace onnxlocal {

Dialect default_dialect() {
  Dialect dialect;
  dialect.family = "hermes";
  dialect.calls.call_open = std::string("<tool_call>\n");
  dialect.calls.call_close = std::string("\n</tool_call>");
  dialect.calls.between = std::string("\n");
  dialect.calls.open_marks = {"<tool_call>"};
  dialect.calls.close_marks = {"</tool_call>"};
  return dialect;
}

std::optional<Dialect> detect_hermes(const DialectClues& clues) {
  if (!clues.says("<tool_call>") || !clues.says("arguments")) return std::nullopt;
  // The same marks around another form (Qwen3-Coder, GLM): such a model gets Hermes' form as text,
  // which it knows as well.
  if (clues.says("<function=") || clues.says("<arg_key>")) return std::nullopt;
  Dialect dialect = default_dialect();
  dialect.has_native_tools = clues.says("tools");
  return dialect;
}

}  // namespace onnxlocal
