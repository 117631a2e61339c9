#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "generation/token.h"

namespace onnxlocal {

/// What the model generated, as tokens: a reply that comes back in the history then continues the
/// same prefix, and hits the prefix cache, even where its text would tokenize otherwise. The least
/// recently used replies are forgotten first. Any thread.
class ReplyMemory {
 public:
  explicit ReplyMemory(std::size_t tokens_max = kTokensMax) : tokens_max_(tokens_max) {}

  /// `tokens` spelled `text` behind `prefix`. Empty ones are not kept.
  void remember(std::string_view scope, std::span<const TokenId> prefix, std::string text,
                std::vector<TokenId> tokens);

  struct Recalled {
    std::vector<TokenId> tokens;
    std::size_t text_bytes = 0;  ///< How much of the text they spell; the rest is white space.
  };
  /// The tokens of `text`, or of all of it but white space at its end (which templates add), where
  /// they were generated behind exactly this prefix.
  std::optional<Recalled> recall(std::string_view scope, std::span<const TokenId> prefix,
                                 std::string_view text);
  std::size_t tokens_in_use() const;

 private:
  /// Some megabytes: thousands of replies.
  static constexpr std::size_t kTokensMax = std::size_t{1} << 20;

  /// The prefix is named by its length and a hash: were two to collide, the text would still be the
  /// one that was asked for.
  using Key = std::tuple<std::uint64_t, std::size_t, std::string, std::string>;
  struct Entry {
    Key key;
    std::vector<TokenId> tokens;
  };
  static Key key_of(std::string_view scope, std::span<const TokenId> prefix, std::string text);

  const std::size_t tokens_max_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::list<Entry> entries_;  ///< Most recently used first.
  std::map<Key, std::list<Entry>::iterator> by_key_;
  std::size_t tokens_ = 0;
};

}  // namespace onnxlocal
