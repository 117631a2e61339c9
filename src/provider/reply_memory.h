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

#include "generation/message.h"
#include "generation/token.h"

namespace onnxlocal {

/// What an assistant's message says, apart from how its JSON is written.
struct ReplyContent {
  std::string said;  ///< Text and calls in order, in one canonical form.
  /// Empty where the message has no block for it: a client that leaves thinking out wants it gone.
  std::optional<std::string> thinking;
};
/// `said_before` is in front of the first text (what the reply continued).
ReplyContent content_of(const Message& message, std::string_view said_before = {});

/// What the model generated, as tokens: a reply that comes back in the history then continues the
/// same prefix, and hits the prefix cache, even where it would be rendered or tokenized otherwise.
/// The least recently used replies are forgotten first. Any thread.
class ReplyMemory {
 public:
  explicit ReplyMemory(std::size_t tokens_max = kTokensMax) : tokens_max_(tokens_max) {}

  struct Reply {
    ReplyContent content;
    /// How the prompt's text behind `prefix` began, up to where the reply's own began.
    std::string opening;
    /// All behind `prefix`: the rest of the prompt, then what was generated.
    std::vector<TokenId> tokens;
  };
  /// Replies without text and calls are not kept.
  void remember(std::string_view scope, std::span<const TokenId> prefix, Reply reply);

  struct Recalled {
    std::vector<TokenId> tokens;
    std::size_t index = 0;  ///< Of the content that it is.
  };
  /// A reply that was generated behind exactly this prefix, where the text there still begins so
  /// (`rendered`), and that is one of `contents`.
  std::optional<Recalled> recall(std::string_view scope, std::span<const TokenId> prefix,
                                 std::string_view rendered, std::span<const ReplyContent> contents);
  std::size_t tokens_in_use() const;

 private:
  /// Some megabytes: thousands of replies.
  static constexpr std::size_t kTokensMax = std::size_t{1} << 20;

  /// The prefix is named by its length and a hash: were two to collide, the content would still be
  /// what was asked for.
  using Key = std::tuple<std::uint64_t, std::size_t, std::string>;
  struct Entry {
    Key key;
    Reply reply;
  };
  using Entries = std::list<Entry>;
  static Key key_of(std::string_view scope, std::span<const TokenId> prefix);
  void forget(Entries::iterator entry);

  const std::size_t tokens_max_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Entries entries_;  ///< Most recently used first.
  std::multimap<Key, Entries::iterator> by_key_;
  std::size_t tokens_ = 0;
};

}  // namespace onnxlocal
