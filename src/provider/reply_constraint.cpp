#include "provider/reply_constraint.h"

#include <utility>

namespace onnxlocal {
namespace {

constexpr std::size_t kWordBits = 32;

bool has_bit(const std::vector<std::uint32_t>& mask, TokenId token) {
  const auto index = static_cast<std::size_t>(token);
  return index / kWordBits < mask.size() &&
         (mask[index / kWordBits] >> index % kWordBits & 1U) != 0;
}

void set_bit(std::vector<std::uint32_t>& mask, TokenId token) {
  const auto index = static_cast<std::size_t>(token);
  if (token >= 0 && index / kWordBits < mask.size()) {
    mask[index / kWordBits] |= 1U << index % kWordBits;
  }
}

}  // namespace

Result<ThinkingLimit> ThinkingLimit::create(std::shared_ptr<const Tokenizer> tokenizer,
                                            const ThinkingBudget& budget) {
  ThinkingLimit limit(std::move(tokenizer), budget);
  const Tokenizer& tokens = *limit.tokenizer_;
  if (const auto id = tokens.token_id(budget.marks.open)) limit.open_ = *id;
  if (const auto id = tokens.token_id(budget.marks.close)) limit.close_ = *id;
  if (limit.close_) {
    TRY(limit.end_tokens_, tokens.encode("\n", SpecialTokens::kAsText));
    limit.end_tokens_.push_back(*limit.close_);
  } else {
    TRY(limit.end_tokens_, tokens.encode("\n" + budget.marks.close, SpecialTokens::kAsText));
  }
  return limit;
}

std::optional<TokenId> ThinkingLimit::forced() const {
  if (state_ != State::kThinking || tokens_ < budget_.tokens_max) return std::nullopt;
  return end_tokens_[next_];
}

Result<void> ThinkingLimit::commit(TokenId token) {
  if (state_ == State::kOver) return {};
  if (forced() == token && ++next_ == end_tokens_.size()) {
    state_ = State::kOver;
    return {};
  }
  TRY(const std::string text, stream_.push(token));
  tail_ += text;
  if (state_ == State::kThinking) {
    ++tokens_;
    const std::string& close = budget_.marks.close;
    if (token == close_ || tail_.contains(close)) state_ = State::kOver;
    if (tail_.size() > close.size()) tail_.erase(0, tail_.size() - close.size());
    return {};
  }
  const std::string& open = budget_.marks.open;
  const std::size_t begin = tail_.find_first_not_of(" \n\r\t");
  const std::string_view said =
      begin == std::string::npos ? std::string_view() : std::string_view(tail_).substr(begin);
  if (token == open_ || said.starts_with(open)) {
    state_ = State::kThinking;
    tail_.clear();
  } else if (!open.starts_with(said)) {
    state_ = State::kOver;
  }
  return {};
}

Result<std::unique_ptr<ReplyConstraint>> ReplyConstraint::create(Options options) {
  std::optional<GrammarMatcher> matcher;
  if (options.grammar) {
    TRY(auto fresh, options.grammar->match());
    matcher.emplace(std::move(fresh));
  }
  std::optional<ThinkingLimit> limit;
  if (options.thinking) {
    TRY(auto fresh, ThinkingLimit::create(options.tokenizer, *options.thinking));
    limit.emplace(std::move(fresh));
  }
  return std::unique_ptr<ReplyConstraint>(
      new ReplyConstraint(std::move(options), std::move(matcher), std::move(limit)));
}

/// Not in `create`: the engine computes masks on a worker, where time is not so dear.
Result<void> ReplyConstraint::replay() {
  for (const TokenId token : std::exchange(options_.replayed, {})) TRY_VOID(commit(token));
  return {};
}

Result<std::vector<std::uint32_t>> ReplyConstraint::mask() {
  TRY_VOID(replay());
  const std::size_t vocabulary = options_.tokenizer->vocabulary_size();
  std::vector<std::uint32_t> mask((vocabulary + kWordBits - 1) / kWordBits, ~0U);
  if (matcher_) {
    TRY(mask, matcher_->mask());
    if (matcher_->is_accepting()) {
      for (const TokenId token : options_.end_tokens) set_bit(mask, token);
    }
  }
  const auto forced = limit_ ? limit_->forced() : std::nullopt;
  // Within a character that is not whole yet the grammar cannot have it: then one token later.
  if (forced && has_bit(mask, *forced)) {
    mask.assign(mask.size(), 0);
    set_bit(mask, *forced);
  }
  return mask;
}

Result<void> ReplyConstraint::commit(TokenId token) {
  TRY_VOID(replay());
  if (matcher_) TRY_VOID(matcher_->commit(token));
  if (limit_) TRY_VOID(limit_->commit(token));
  return {};
}

}  // namespace onnxlocal
