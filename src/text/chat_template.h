#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/message.h"
#include "generation/token.h"
#include "generation/tool.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// A conversation as a template takes it. Borrows.
///
/// The template gets Hugging Face's form: `tools` as functions with `name`, `description` and
/// `parameters`; calls as `tool_calls` of an assistant message, thinking as its
/// `reasoning_content`, results as messages of the role `tool` in front of the user's text. The
/// JSON of tools and calls keeps its writer's order of keys and spelling of numbers.
struct Conversation {
  std::span<const Message> messages;
  std::span<const ToolDefinition> tools = {};  ///< Those that are listed go to the template.
  /// What the template's `enable_thinking` (and `thinking`) is; undefined where empty.
  std::optional<bool> enable_thinking = {};
};

/// What a template does with what it is given, found out by rendering probes.
struct TemplateAbilities {
  bool takes_system = false;         ///< Else system text goes in front of the user's.
  bool takes_tools = false;          ///< Tools that are given show in the prompt.
  bool takes_tool_history = false;   ///< Calls and their results show in the prompt.
  bool has_thinking_switch = false;  ///< `enable_thinking` changes the prompt.
  friend bool operator==(const TemplateAbilities&, const TemplateAbilities&) = default;
};

/// What a template may ask for besides the messages.
struct ChatTemplateOptions {
  std::string bos_token;
  std::string eos_token;
  /// What `strftime_now` of a template sees; the local time of each rendering where empty.
  std::optional<std::tm> now;
};

/// A piece of a rendered prompt: one special token that the template wrote (`kParsed`), or text
/// between them (`kAsText`), be it the template's or a client's.
struct PromptPiece {
  std::string text;
  SpecialTokens special = SpecialTokens::kParsed;
  friend bool operator==(const PromptPiece&, const PromptPiece&) = default;
};

/// A Jinja chat template, rendered with minijinja as Hugging Face does with jinja2 (trim_blocks,
/// lstrip_blocks, `raise_exception`, `strftime_now`, `tojson`, loop controls, string methods by
/// pycompat). Immutable, any thread.
///
/// A client's text never becomes a special token, yet the template sees the true text, and text is
/// tokenized across the seams of template and client as Hugging Face does. Before it is compiled,
/// special tokens in the template's source become stand-ins that no text from outside can hold, and
/// the tokenizer takes stand-ins alone for special tokens (crates/text/src/stand_in.rs). Rejected:
/// client text between markers, since templates trim, split and search it; tokenizing client text
/// apart, since "system\n" and "You" would be other tokens than in training.
///
/// Rendering has limits on depth, steps, memory and output size, so that a hostile template ends.
class ChatTemplate {
 public:
  /// Errors: model_corrupt (the template does not compile: says where).
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string_view source,
                                                             ChatTemplateOptions options);
  ~ChatTemplate();

  /// Renders for the special tokens of `tokenizer`. The text blocks of a message are joined by a
  /// line break. A trailing assistant message without calls is left open, to be continued;
  /// otherwise the generation prompt is added. What a template cannot take is put as it can: system
  /// text in front of the first user message where it is refused or dropped; neighbours of one
  /// role joined where they are refused; parallel calls one after the other; ids of calls as nine
  /// letters and digits; arguments as text. What it does not know at all (`abilities`) it drops.
  /// Errors: invalid_request (the template's own `raise_exception`; a tool's schema or a call's
  /// input is no JSON), internal.
  Result<std::vector<PromptPiece>> render(const Conversation& conversation,
                                          const Tokenizer& tokenizer) const;

  /// The tokens of `render`. The same errors, and too_large.
  Result<std::vector<TokenId>> render_tokens(const Conversation& conversation,
                                             const Tokenizer& tokenizer) const;

  const TemplateAbilities& abilities() const { return abilities_; }
  bool takes_tools() const { return abilities_.takes_tools; }
  bool takes_tool_history() const { return abilities_.takes_tool_history; }
  bool has_thinking_switch() const { return abilities_.has_thinking_switch; }
  /// The template's own text, as it was compiled.
  const std::string& source() const { return source_; }

 private:
  struct Native;
  ChatTemplate(std::unique_ptr<Native> native, std::string_view source,
               ChatTemplateOptions options);
  std::unique_ptr<Native> native_;
  std::string source_;
  ChatTemplateOptions options_;
  TemplateAbilities abilities_;
};

}  // namespace onnxlocal
