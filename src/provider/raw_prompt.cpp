#include <algorithm>
#include <array>

#include "provider/prompt.h"

namespace onnxlocal {

Result<std::vector<TokenId>> PromptBuilder::raw_tokens(const RawPrompt& raw) const {
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&raw)) return *tokens;
  TRY(auto tokens, tokenizer_->encode(std::get<std::string>(raw), SpecialTokens::kAsText));
  if (options_.bos_token && wants_bos()) tokens.insert(tokens.begin(), *options_.bos_token);
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
