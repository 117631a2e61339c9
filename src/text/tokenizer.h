#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/token.h"

namespace onnxlocal {

/// Whether text may spell special tokens. Template text may; what a client sent never does.
enum class SpecialTokens { kAsText, kParsed };

/// Turns the tokens of one generation into text, a token at a time. One thread.
class TokenStream {
 public:
  ~TokenStream();
  TokenStream(TokenStream&&) noexcept;
  TokenStream& operator=(TokenStream&&) noexcept;

  /// The text that became whole with this token: always complete UTF-8 characters (emoji made of
  /// several code points may come in several pieces, a code point never), maybe empty. Special
  /// tokens have no text.
  Result<std::string> push(TokenId token);
  /// As `push`, but a special token's spelling is its text, behind what was held back.
  Result<std::string> push_visible(TokenId token);
  /// What is still held back, ill-formed bytes as U+FFFD. Call once, last.
  Result<std::string> finish();

 private:
  friend class Tokenizer;
  struct State;
  explicit TokenStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A Hugging Face `tokenizer.json`. Immutable: any thread may call any method, and all share one.
/// Source: huggingface/tokenizers.
class Tokenizer : public std::enable_shared_from_this<Tokenizer> {
 public:
  /// Errors: not_found, model_corrupt (names the file and what the parser said), too_large.
  static Result<std::shared_ptr<const Tokenizer>> load(const std::filesystem::path& file);
  static Result<std::shared_ptr<const Tokenizer>> from_json(std::string_view json);
  ~Tokenizer();

  /// `text` to tokens, without a beginning-of-sequence token.
  Result<std::vector<TokenId>> encode(std::string_view text, SpecialTokens special) const;
  /// Tokens to text, special tokens left out.
  Result<std::string> decode(std::span<const TokenId> tokens) const;
  /// Starts a stream that keeps this tokenizer alive.
  TokenStream stream() const;

  std::size_t vocabulary_size() const;
  /// The id of a token by its exact content ("<|im_end|>"), empty where there is none.
  Result<TokenId> token_id(std::string_view content) const;
  bool is_special(TokenId token) const;

  /// For `Grammar` (same folder) alone.
  struct Native;
  const Native& native() const { return *native_; }

 private:
  explicit Tokenizer(std::unique_ptr<Native> native);
  std::unique_ptr<Native> native_;
};

}  // namespace onnxlocal
