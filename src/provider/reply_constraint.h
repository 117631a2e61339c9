#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dialect/dialect.h"
#include "engine/constraint.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// Where a reply's thinking must end.
struct ThinkingBudget {
  ThinkingSyntax marks;
  std::uint32_t tokens_max = 0;
  bool begins_thinking = false;  ///< The prompt ends within thinking.
};

/// Counts a reply's thinking, and once the budget is spent says which tokens end it.
class ThinkingLimit {
 public:
  /// Errors: internal.
  static Result<ThinkingLimit> create(std::shared_ptr<const Tokenizer> tokenizer,
                                      const ThinkingBudget& budget);

  /// The token that must come now; empty where the reply is free to go on.
  std::optional<TokenId> forced() const;
  Result<void> commit(TokenId token);

 private:
  enum class State { kBefore, kThinking, kOver };
  ThinkingLimit(std::shared_ptr<const Tokenizer> tokenizer, const ThinkingBudget& budget)
      : tokenizer_(std::move(tokenizer)),
        stream_(tokenizer_->stream()),
        budget_(budget),
        state_(budget.begins_thinking ? State::kThinking : State::kBefore) {}

  std::shared_ptr<const Tokenizer> tokenizer_;
  TokenStream stream_;
  ThinkingBudget budget_;
  State state_;
  std::optional<TokenId> open_;  ///< The marks, where each is one token.
  std::optional<TokenId> close_;
  std::vector<TokenId> end_tokens_;  ///< A line break and the closing mark.
  std::string tail_;                 ///< The last of the text.
  std::uint32_t tokens_ = 0;         ///< Of thinking.
  std::size_t next_ = 0;             ///< Of `end_tokens_`, once the budget is spent.
};

/// Holds a reply to a grammar and to a thinking budget, either of which may be missing.
class ReplyConstraint final : public TokenConstraint {
 public:
  struct Options {
    std::shared_ptr<const Tokenizer> tokenizer;
    std::shared_ptr<const Grammar> grammar;  ///< May be null.
    std::optional<ThinkingBudget> thinking;
    std::vector<TokenId> end_tokens;
    std::vector<TokenId> replayed;  ///< Of a reply that is to be continued: taken at first use.
  };
  /// Errors: internal.
  static Result<std::unique_ptr<ReplyConstraint>> create(Options options);

  Result<std::vector<std::uint32_t>> mask() override;
  Result<void> commit(TokenId token) override;

 private:
  ReplyConstraint(Options options, std::optional<GrammarMatcher> matcher,
                  std::optional<ThinkingLimit> limit)
      : options_(std::move(options)), matcher_(std::move(matcher)), limit_(std::move(limit)) {}
  Result<void> replay();

  Options options_;
  std::optional<GrammarMatcher> matcher_;
  std::optional<ThinkingLimit> limit_;
};

}  // namespace onnxlocal
