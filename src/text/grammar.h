#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// The state of one generation that is held to a grammar (llguidance). One thread at a time.
class GrammarMatcher {
 public:
  ~GrammarMatcher();
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;

  /// Which tokens may come next: bit `t % 32` of word `t / 32` for token `t`.
  Result<std::vector<std::uint32_t>> mask();
  /// Takes a token that the mask allowed. Errors: invalid_request where it did not.
  Result<void> commit(TokenId token);
  /// Takes the last `count` tokens back.
  Result<void> rollback(std::uint32_t count);
  /// True where the text so far is complete by the grammar.
  bool is_accepting();

 private:
  friend class Grammar;
  struct State;
  explicit GrammarMatcher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A compiled grammar, shared by all generations that use it. Immutable, any thread.
class Grammar {
 public:
  /// A JSON schema. Errors: invalid_request, with what llguidance cannot enforce.
  static Result<std::shared_ptr<const Grammar>> from_json_schema(
      std::shared_ptr<const Tokenizer> tokenizer, std::string_view schema);
  ~Grammar();

  Result<GrammarMatcher> match() const;

 private:
  struct State;
  explicit Grammar(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace onnxlocal
