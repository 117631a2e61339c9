#include "provider/reply_memory.h"

#include <utility>

#include "base/hash.h"

namespace onnxlocal {

ReplyMemory::Key ReplyMemory::key_of(std::string_view scope, std::span<const TokenId> prefix,
                                     std::string text) {
  return {hash_bytes(std::as_bytes(prefix), 0), prefix.size(), std::string(scope), std::move(text)};
}

void ReplyMemory::remember(std::string_view scope, std::span<const TokenId> prefix,
                           std::string text, std::vector<TokenId> tokens) {
  if (tokens.empty() || text.empty() || tokens.size() > tokens_max_) return;
  Key key = key_of(scope, prefix, std::move(text));
  const std::scoped_lock lock(mutex_);
  if (const auto old = by_key_.find(key); old != by_key_.end()) {
    tokens_ -= old->second->tokens.size();
    entries_.erase(old->second);
    by_key_.erase(old);
  }
  tokens_ += tokens.size();
  entries_.push_front({.key = key, .tokens = std::move(tokens)});
  by_key_.emplace(std::move(key), entries_.begin());
  while (tokens_ > tokens_max_) {
    tokens_ -= entries_.back().tokens.size();
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

std::optional<ReplyMemory::Recalled> ReplyMemory::recall(std::string_view scope,
                                                         std::span<const TokenId> prefix,
                                                         std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \n\r\t";
  const std::size_t last = text.find_last_not_of(kWhiteSpace);
  const std::size_t least = last == std::string_view::npos ? 0 : last + 1;
  Key key = key_of(scope, prefix, std::string(text));
  std::string& candidate = std::get<3>(key);
  const std::scoped_lock lock(mutex_);
  for (;; candidate.pop_back()) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return Recalled{.tokens = found->second->tokens, .text_bytes = candidate.size()};
    }
    if (candidate.size() <= least) return std::nullopt;
  }
}

std::size_t ReplyMemory::tokens_in_use() const {
  const std::scoped_lock lock(mutex_);
  return tokens_;
}

}  // namespace onnxlocal
