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
#include "dialect/dialect.h"
#include "generation/message.h"
#include "generation/request.h"
#include "generation/token.h"
#include "generation/tool.h"
#include "provider/reply_memory.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// What a prompt is made of.
struct PromptRequest {
  std::span<const Message> messages;
  std::span<const ToolDefinition> tools = {};
  bool wants_thinking = false;
  std::string_view scope = {};  ///< Keeps what is remembered apart.
};

/// A prompt, and where its last turn began: what is generated continues that turn.
struct Prompt {
  std::vector<TokenId> tokens;
  std::size_t turn_begin = 0;   ///< The last turn's tokens are [here, end).
  std::string opening;          ///< The last turn's text, up to where a reply's own begins.
  std::string continued;        ///< The text of a reply that is to be continued.
  bool opens_thinking = false;  ///< It ends within thinking.
};

/// Turns messages and tools into a prompt's tokens, replies of ours in the history into the very
/// tokens that were generated. Any thread.
class PromptBuilder {
 public:
  struct Options {
    /// Null: messages are written as "role: text" with blank lines between, the last one
    /// "assistant:".
    std::shared_ptr<const ChatTemplate> chat_template;
    std::shared_ptr<const Dialect> dialect;
    std::optional<TokenId> bos_token;  ///< Begins a prompt where there is no chat template.
    std::optional<bool> adds_bos;      ///< As in `LocalParts`.
    std::vector<TokenId> end_tokens;   ///< End a turn.
  };
  PromptBuilder(std::shared_ptr<const Tokenizer> tokenizer, Options options);

  /// Errors: invalid_request (the template refuses the messages, a schema is no JSON), internal.
  Result<Prompt> build(const PromptRequest& request) const;

  /// How many of `prompt`'s tokens come of its tools and first `messages` messages, whatever
  /// follows them. Errors: as `build`.
  Result<std::size_t> prefix_tokens(const PromptRequest& request, std::size_t messages,
                                    const Prompt& prompt) const;

  /// A prompt without a template: text spells no special tokens, and begins with the tokens that
  /// begin a text: as `adds_bos` says, else as the tokenizer's post-processor does, else as the
  /// chat template lets guess. Errors: too_large.
  Result<std::vector<TokenId>> raw_tokens(const RawPrompt& raw) const;

  /// After `prompt`, `tokens` were generated, and the client was shown `reply`.
  void remember(const Prompt& prompt, std::string_view scope, const Message& reply,
                std::span<const TokenId> tokens) const;

 private:
  struct Rendered {
    std::vector<PromptPiece> pieces;
    std::vector<TokenId> tokens;  ///< Of the pieces at once, where those are needed.
    std::size_t own_pieces = 0;   ///< The last so many are ours, and not in `tokens`.
  };
  Result<Rendered> render(const PromptRequest& request) const;
  void close_thinking(std::vector<PromptPiece>& pieces) const;
  Result<Prompt> tokenize(std::span<const PromptPiece> pieces, const PromptRequest* request) const;
  Result<Prompt> tokenize_at_once(Rendered rendered, const PromptRequest& request) const;
  void describe_last_turn(std::span<const PromptPiece> turn, const PromptRequest& request,
                          Prompt& prompt) const;
  Result<std::vector<TokenId>> beginning() const;
  bool wants_bos() const;
  bool is_end(const PromptPiece& piece) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  Options options_;
  std::vector<std::string> ends_;  ///< Spellings of the end tokens.
  bool has_native_tools_ = false;
  std::unique_ptr<ReplyMemory> memory_;

  /// Whether a prompt tokenized piece by piece is the same as tokenized at once. Some tokenizers
  /// mark the beginning of a text (SentencePiece's leading space): with those, replies are not
  /// remembered. The first prompt tells.
  enum class Pieces { kUnknown, kSame, kDifferent };
  mutable std::atomic<Pieces> pieces_ = Pieces::kUnknown;
};

}  // namespace onnxlocal
