#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "generation/message.h"
#include "generation/tool.h"

namespace onnxlocal {

/// How one family of models writes calls. The canonical layout, which grammars and prompts use, is
///   section_open call (between call)* section_close,  where a call is
///   call_open {"NAME_KEY": "tool", "INPUT_KEY": {...}} call_close      (Body::kObject)
///   call_open tool name_end {...} call_close                           (Body::kNamed)
/// The parser (call_parser.h) goes by the marks, and takes more than that.
struct CallSyntax {
  enum class Body {
    kObject,  ///< A JSON object that holds name and input.
    kNamed,   ///< The name, then the input.
  };
  Body body = Body::kObject;
  std::string section_open;
  std::string section_close;
  std::string call_open;
  std::string call_close;
  std::string between;
  std::string input_key = "arguments";
  std::string name_end;                  ///< Body::kNamed: between name and input.
  std::vector<std::string> open_marks;   ///< Begin calls wherever they stand.
  std::vector<std::string> close_marks;  ///< Filler around calls.
  /// A reply that begins with `{` may be a call, without any mark.
  bool may_be_bare = false;
  /// Marks that stand for nothing where a bare reply begins: "```json".
  std::vector<std::string> bare_openings;
};

struct ThinkingSyntax {
  std::string open = "<think>";
  std::string close = "</think>";
};

/// How one model writes what is not plain text. Immutable once detected.
struct Dialect {
  std::string_view family;  ///< "hermes", "llama", "mistral", "phi", "gemma", "deepseek".
  CallSyntax calls;
  /// The chat template writes tools, calls and results; otherwise `with_tools_as_text`.
  bool has_native_tools = false;
  ThinkingSyntax thinking;
  bool can_think = false;
  bool has_thinking_switch = false;  ///< The template heeds `enable_thinking`.

  /// All marks, longest first: tokens by these names must show in the text.
  std::vector<std::string> marks() const;
};

/// The dialect of a model, by its chat template's source (empty where there is none) and by which
/// tokens exist. Text that no family is known by gets Hermes' form, as text.
Dialect detect_dialect(std::string_view template_source,
                       const std::function<bool(std::string_view)>& has_token);

/// What the model is told of its tools where the template has no place for them. Schemas are the
/// client's own text.
std::string describe_tools(const Dialect& dialect, const std::vector<ToolDefinition>& tools);

/// A call as the model itself writes it.
std::string write_calls(const Dialect& dialect, const std::vector<ToolUseBlock>& calls);

/// `messages` for a template that knows no tools: described in the system text, calls and results
/// as text.
std::vector<Message> with_tools_as_text(const Dialect& dialect,
                                        const std::vector<Message>& messages,
                                        const std::vector<ToolDefinition>& tools);

}  // namespace onnxlocal
