#include "text/grammar_cache.h"

namespace onnxlocal {

Result<std::shared_ptr<const Grammar>> GrammarCache::from_lark(
    std::shared_ptr<const Tokenizer> tokenizer, std::string_view lark) {
  return find_or_compile(std::move(tokenizer), Kind::kLark, lark);
}

Result<std::shared_ptr<const Grammar>> GrammarCache::from_json_schema(
    std::shared_ptr<const Tokenizer> tokenizer, std::string_view schema) {
  return find_or_compile(std::move(tokenizer), Kind::kJsonSchema, schema);
}

Result<std::shared_ptr<const Grammar>> GrammarCache::find_or_compile(
    std::shared_ptr<const Tokenizer> tokenizer, Kind kind, std::string_view text) {
  Key key{.tokenizer = tokenizer.get(), .kind = kind, .text = std::string(text)};
  if (auto found = find(key)) return found;
  TRY(auto grammar, kind == Kind::kLark ? Grammar::from_lark(*tokenizer, text)
                                        : Grammar::from_json_schema(*tokenizer, text));
  const std::size_t bytes = grammar->size_bytes() + text.size();
  return keep(std::move(key), {.tokenizer = std::move(tokenizer),
                               .grammar = std::move(grammar),
                               .bytes = bytes,
                               .use = {}});
}

std::shared_ptr<const Grammar> GrammarCache::find(const Key& key) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  uses_.splice(uses_.begin(), uses_, found->second.use);
  return found->second.grammar;
}

/// Where two threads compiled the same, the first one's grammar is kept. Whoever uses a grammar
/// keeps it alive, so that any may be dropped here.
std::shared_ptr<const Grammar> GrammarCache::keep(Key&& key, Entry&& entry) {
  const std::lock_guard lock(mutex_);
  const auto [at, is_new] = entries_.try_emplace(std::move(key), std::move(entry));
  auto grammar = at->second.grammar;
  if (!is_new) return grammar;
  uses_.push_front(&at->first);
  at->second.use = uses_.begin();
  bytes_ += at->second.bytes;
  while (!uses_.empty() && (entries_.size() > limits_.entries_max || bytes_ > limits_.bytes_max)) {
    const auto oldest = entries_.find(*uses_.back());
    uses_.pop_back();
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
  }
  return grammar;
}

std::size_t GrammarCache::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::size_t GrammarCache::size_bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace onnxlocal
