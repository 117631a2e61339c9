#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// The state of one generation that is held to a grammar (llguidance). One thread at a time, any.
/// It has what `TokenConstraint` (engine/constraint.h) asks for; whoever holds both adapts it.
class GrammarMatcher {
 public:
  ~GrammarMatcher();
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;

  /// Which tokens may come next, never none: bit `t % 32` of word `t / 32` for token `t`.
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

/// A compiled grammar, shared by all generations that use it. Immutable, any thread. Compiling may
/// take milliseconds to seconds, on any thread and at once on several; `GrammarCache` keeps what is
/// compiled. It has bounds on the text, memory and time.
class Grammar {
 public:
  /// A JSON schema. Errors: invalid_request, with what llguidance cannot enforce; too_large.
  static Result<std::shared_ptr<const Grammar>> from_json_schema(const Tokenizer& tokenizer,
                                                                 std::string_view schema);

  /// llguidance's dialect of Lark: a rule `start`, `%json { schema }` within, special tokens as
  /// `<|name|>` or by id as `<[7]>` (tokens that the tokenizer does not call special, as Qwen's
  /// `<tool_call>`, are plain strings: "<tool_call>"). Where `start` is complete, an end token may
  /// follow; a grammar cannot name one within. Errors: as from_json_schema.
  static Result<std::shared_ptr<const Grammar>> from_lark(const Tokenizer& tokenizer,
                                                          std::string_view lark);
  ~Grammar();

  /// A generation's own state. About 0.1 ms for a small grammar.
  Result<GrammarMatcher> match() const;

  /// Memory that compiling left behind, measured; for the bounds of a cache.
  std::size_t size_bytes() const;

 private:
  struct State;
  explicit Grammar(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace onnxlocal
