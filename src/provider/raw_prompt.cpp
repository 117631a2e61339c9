#include <algorithm>
#include <array>

#include "provider/prompt.h"
#include "text/encode_input.h"

namespace onnxlocal {

namespace {

/// What the tokenizer's post-processor puts before a text.
Result<std::vector<TokenId>> added_before(const Tokenizer& tokenizer) {
  constexpr std::string_view kAnyText = "a";
  TRY(const auto plain, tokenizer.encode(kAnyText, SpecialTokens::kAsText));
  TRY(const auto whole, encode_input(tokenizer, kAnyText));
  const auto text = std::ranges::search(whole, plain);
  if (text.empty()) return std::vector<TokenId>();
  return std::vector<TokenId>(whole.begin(), text.begin());
}

}  // namespace

Result<std::vector<TokenId>> PromptBuilder::raw_tokens(const RawPrompt& raw) const {
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&raw)) return *tokens;
  TRY(auto tokens, beginning());
  TRY(const auto text, tokenizer_->encode(std::get<std::string>(raw), SpecialTokens::kAsText));
  tokens.insert(tokens.end(), text.begin(), text.end());
  return tokens;
}

Result<std::vector<TokenId>> PromptBuilder::beginning() const {
  std::vector<TokenId> tokens;
  if (!options_.adds_bos) {
    TRY(tokens, added_before(*tokenizer_));
    if (!tokens.empty()) return tokens;
  }
  if (options_.bos_token && (options_.adds_bos ? *options_.adds_bos : wants_bos())) {
    tokens.push_back(*options_.bos_token);
  }
  return tokens;
}

/// Some models (ChatML's) name a token that begins each turn, others one that begins a text. Where
/// the template writes it once in a conversation of several turns, it begins a text.
bool PromptBuilder::wants_bos() const {
  if (!options_.chat_template) return true;
  const std::array<Message, 3> turns = {{{.role = Role::kUser, .content = {TextBlock{"a"}}},
                                         {.role = Role::kAssistant, .content = {TextBlock{"b"}}},
                                         {.role = Role::kUser, .content = {TextBlock{"c"}}}}};
  const auto tokens = options_.chat_template->render_tokens({.messages = turns}, *tokenizer_);
  return tokens && std::ranges::count(*tokens, *options_.bos_token) == 1;
}

}  // namespace onnxlocal
