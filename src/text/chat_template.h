#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/message.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// What a template may ask for besides the messages.
struct ChatTemplateOptions {
  std::string bos_token;
  std::string eos_token;
};

/// A piece of a rendered prompt: template text (may spell special tokens) or a client's text (never
/// does).
struct PromptPiece {
  std::string text;
  SpecialTokens special = SpecialTokens::kParsed;
  friend bool operator==(const PromptPiece&, const PromptPiece&) = default;
};

/// A Jinja chat template, rendered with minijinja as Hugging Face does with jinja2 (trim_blocks,
/// lstrip_blocks, `raise_exception`, `strftime_now`, string methods by pycompat). Immutable, any
/// thread. Rendering has limits on depth, steps and output size, so that a hostile template ends.
class ChatTemplate {
 public:
  /// Errors: model_corrupt (the template does not compile: says where).
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string_view source,
                                                             ChatTemplateOptions options);
  ~ChatTemplate();

  /// Renders `messages`; client text is kept apart from template text. A trailing assistant message
  /// is left open, to be continued; otherwise the generation prompt is added.
  /// A template that refuses a system role gets the system text in front of the first user message.
  /// Errors: invalid_request (the template's own `raise_exception`), internal.
  Result<std::vector<PromptPiece>> render(std::span<const Message> messages) const;

  /// `render`, then tokens: each piece is tokenized by its kind, adjacent pieces of the same kind
  /// as one text.
  Result<std::vector<TokenId>> render_tokens(std::span<const Message> messages,
                                             const Tokenizer& tokenizer) const;

 private:
  struct Native;
  ChatTemplate(std::unique_ptr<Native> native, ChatTemplateOptions options);
  std::unique_ptr<Native> native_;
  ChatTemplateOptions options_;
};

}  // namespace onnxlocal
