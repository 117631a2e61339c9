#include "provider/prompt.h"

#include <utility>
#include <variant>

namespace onnxlocal {
namespace {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kSystem: return "system";
    case Role::kUser: return "user";
    case Role::kAssistant: return "assistant";
  }
  return "user";
}

std::string text_of(const Message& message) {
  std::string text;
  for (const ContentBlock& block : message.content) {
    if (!text.empty()) text += '\n';
    if (const auto* written = std::get_if<TextBlock>(&block)) text += written->text;
  }
  return text;
}

/// One piece per message. A reply that begins with a space, as models give it behind "assistant:",
/// comes out the same way.
std::vector<PromptPiece> plain_pieces(std::span<const Message> messages) {
  std::vector<PromptPiece> pieces;
  const auto add = [&](Role role, std::string_view text) {
    std::string piece(pieces.empty() ? "" : "\n\n");
    piece += role_name(role);
    piece += ':';
    if (!text.empty() && !text.starts_with(' ')) piece += ' ';
    piece += text;
    pieces.push_back({.text = std::move(piece), .special = SpecialTokens::kAsText});
  };
  for (const Message& message : messages) add(message.role, text_of(message));
  if (messages.empty() || messages.back().role != Role::kAssistant) add(Role::kAssistant, "");
  return pieces;
}

void append(std::vector<TokenId>& to, std::span<const TokenId> tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

}  // namespace

PromptBuilder::PromptBuilder(std::shared_ptr<const Tokenizer> tokenizer,
                             std::shared_ptr<const ChatTemplate> chat_template,
                             std::optional<TokenId> bos_token)
    : tokenizer_(std::move(tokenizer)),
      chat_template_(std::move(chat_template)),
      bos_token_(bos_token),
      memory_(std::make_unique<ReplyMemory>()) {}

Result<Prompt> PromptBuilder::build(std::span<const Message> messages,
                                    std::string_view scope) const {
  if (!chat_template_) return tokenize(plain_pieces(messages), scope);
  if (pieces_ != Pieces::kDifferent) {
    TRY(const auto pieces, chat_template_->render({.messages = messages}, *tokenizer_));
    if (pieces_ == Pieces::kUnknown) {
      TRY(const bool is_same, check_pieces(messages, pieces));
      pieces_ = is_same ? Pieces::kSame : Pieces::kDifferent;
    }
    if (pieces_ == Pieces::kSame) return tokenize(pieces, scope);
  }
  Prompt prompt;
  TRY(prompt.tokens, chat_template_->render_tokens({.messages = messages}, *tokenizer_));
  return prompt;
}

Result<bool> PromptBuilder::check_pieces(std::span<const Message> messages,
                                         std::span<const PromptPiece> pieces) const {
  TRY(const auto at_once, chat_template_->render_tokens({.messages = messages}, *tokenizer_));
  TRY(const Prompt by_piece, tokenize(pieces, std::nullopt));
  return at_once == by_piece.tokens;
}

/// Without a scope nothing is recalled.
Result<Prompt> PromptBuilder::tokenize(std::span<const PromptPiece> pieces,
                                       std::optional<std::string_view> scope) const {
  Prompt prompt;
  if (!chat_template_ && bos_token_) prompt.tokens.push_back(*bos_token_);
  for (const PromptPiece& piece : pieces) {
    const bool is_text = piece.special == SpecialTokens::kAsText;
    std::string_view rest = piece.text;
    const std::size_t begin = prompt.tokens.size();
    if (is_text && scope) {
      if (const auto recalled = memory_->recall(*scope, prompt.tokens, piece.text)) {
        append(prompt.tokens, recalled->tokens);
        rest.remove_prefix(recalled->text_bytes);
      }
    }
    if (!rest.empty()) {
      TRY(const auto tokens, tokenizer_->encode(rest, piece.special));
      append(prompt.tokens, tokens);
    }
    prompt.open_tokens_begin = is_text ? begin : prompt.tokens.size();
    prompt.open_text = is_text ? piece.text : "";
  }
  return prompt;
}

void PromptBuilder::remember(const Prompt& prompt, std::string_view scope, std::string_view text,
                             std::span<const TokenId> tokens) const {
  if (text.empty() || (chat_template_ && pieces_ != Pieces::kSame)) return;
  const auto all = std::span(prompt.tokens);
  std::vector<TokenId> spelled(all.begin() + static_cast<std::ptrdiff_t>(prompt.open_tokens_begin),
                               all.end());
  append(spelled, tokens);
  memory_->remember(scope, all.first(prompt.open_tokens_begin),
                    prompt.open_text + std::string(text), std::move(spelled));
}

}  // namespace onnxlocal
