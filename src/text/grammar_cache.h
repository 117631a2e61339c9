#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// Compiled grammars by tokenizer and text; those used least recently go first. Any thread.
class GrammarCache {
 public:
  struct Limits {
    std::size_t entries_max = 64;
    std::size_t bytes_max = std::size_t{256} << 20;  ///< Of grammars and their texts.
  };
  GrammarCache() : GrammarCache(Limits{}) {}
  explicit GrammarCache(Limits limits) : limits_(limits) {}

  /// Compiles on the caller's thread, without the lock, where there is nothing in the cache. Errors
  /// are those of Grammar and are not kept.
  Result<std::shared_ptr<const Grammar>> from_lark(std::shared_ptr<const Tokenizer> tokenizer,
                                                   std::string_view lark);
  Result<std::shared_ptr<const Grammar>> from_json_schema(
      std::shared_ptr<const Tokenizer> tokenizer, std::string_view schema);

  std::size_t entries() const;
  std::size_t size_bytes() const;

 private:
  enum class Kind { kLark, kJsonSchema };
  struct Key {
    const Tokenizer* tokenizer = nullptr;
    Kind kind = Kind::kLark;
    std::string text;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::shared_ptr<const Tokenizer> tokenizer;  ///< Keeps the key's address its own.
    std::shared_ptr<const Grammar> grammar;
    std::size_t bytes = 0;
    std::list<const Key*>::iterator use;
  };
  Result<std::shared_ptr<const Grammar>> find_or_compile(std::shared_ptr<const Tokenizer> tokenizer,
                                                         Kind kind, std::string_view text);
  std::shared_ptr<const Grammar> find(const Key& key);
  std::shared_ptr<const Grammar> keep(Key&& key, Entry&& entry);

  const Limits limits_;
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
  std::list<const Key*> uses_;  ///< The one used last is first.
  std::size_t bytes_ = 0;
};

}  // namespace onnxlocal
