// DeepSeek V3 and R1, and what was distilled of R1:
// `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name` and the input in a code
// fence, `<｜tool▁call▁end｜>`, the next, `<｜tool▁calls▁end｜>`; V3.1 without word and fence.
// https://huggingface.co/deepseek-ai/DeepSeek-R1/blob/main/tokenizer_config.json
#include "dialect/families.h"

namespace onnxlocal {

std::optional<Dialect> detect_deepseek(const DialectClues& clues) {
  if (!clues.says("<｜Assistant｜>") && !clues.says("<｜tool▁calls▁begin｜>")) return std::nullopt;
  Dialect dialect;
  if (clues.says("<｜tool▁calls▁begin｜>")) {
    CallSyntax& calls = dialect.calls;
    calls.body = CallSyntax::Body::kNamed;
    calls.section_open = std::string("<｜tool▁calls▁begin｜>");
    calls.call_open = std::string("<｜tool▁call▁begin｜>function<｜tool▁sep｜>");
    calls.name_end = std::string("\n```json\n");
    calls.call_close = std::string("\n```<｜tool▁call▁end｜>");
    calls.between = std::string("\n");
    calls.section_close = std::string("<｜tool▁calls▁end｜>");
    calls.open_marks = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"};
    calls.close_marks = {"<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<｜tool▁sep｜>", "```json",
                         "```"};
  } else {
    dialect = default_dialect();
  }
  dialect.family = "deepseek";
  // The template writes calls and results, but has no list of tools: all of it as text.
  dialect.has_native_tools = false;
  return dialect;
}

}  // namespace onnxlocal
