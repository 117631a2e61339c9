#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/message.h"
#include "generation/token.h"
#include "provider/reply_memory.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// A prompt, and where its last text began: what is generated continues that text.
struct Prompt {
  std::vector<TokenId> tokens;
  std::size_t open_tokens_begin = 0;  ///< The last text's tokens are [here, end).
  std::string open_text;              ///< The last text; empty where a special token is last.
};

/// Turns messages into a prompt's tokens, replies of ours in the history into the very tokens that
/// were generated. Any thread.
class PromptBuilder {
 public:
  /// `chat_template` may be null: then messages are written as "role: text" with blank lines
  /// between, the last one "assistant:", behind `bos_token` where there is one.
  PromptBuilder(std::shared_ptr<const Tokenizer> tokenizer,
                std::shared_ptr<const ChatTemplate> chat_template,
                std::optional<TokenId> bos_token);

  /// `scope` keeps what is remembered apart. Errors: invalid_request (the template refuses the
  /// messages), internal.
  Result<Prompt> build(std::span<const Message> messages, std::string_view scope) const;

  /// After `prompt`, `tokens` were generated and spelled `text`; neither holds a special token.
  void remember(const Prompt& prompt, std::string_view scope, std::string_view text,
                std::span<const TokenId> tokens) const;

 private:
  Result<Prompt> tokenize(std::span<const PromptPiece> pieces,
                          std::optional<std::string_view> scope) const;
  Result<bool> check_pieces(std::span<const Message> messages,
                            std::span<const PromptPiece> pieces) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ChatTemplate> chat_template_;
  std::optional<TokenId> bos_token_;
  std::unique_ptr<ReplyMemory> memory_;

  /// Whether a prompt tokenized piece by piece is the same as tokenized at once. Some tokenizers
  /// mark the beginning of a text (SentencePiece's leading space): with those, replies are not
  /// remembered. The first prompt tells.
  enum class Pieces { kUnknown, kSame, kDifferent };
  mutable std::atomic<Pieces> pieces_ = Pieces::kUnknown;
};

}  // namespace onnxlocal
