#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "generation/event.h"
#include "generation/token.h"

namespace onnxlocal {

/// The last prompts, by scope and agent, to say where a new one left them. In memory alone, and
/// bounded. Engine thread only.
class PromptHistory {
 public:
  struct Limits {
    std::size_t prompts_max = 64;
    std::size_t tokens_max = std::size_t{1} << 20;  ///< Of all prompts together.
  };
  explicit PromptHistory(Limits limits) : limits_(limits) {}

  /// The remembered prompt that has most in common with a new one.
  struct Match {
    std::uint32_t common_tokens = 0;
    std::uint32_t kept_tokens = 0;  ///< Of the remembered one, in the cache at that time.
    bool is_same_agent = false;
    bool is_whole = false;  ///< The new prompt goes on from all of it.
  };
  /// Among the prompts of this scope; empty where there is none.
  std::optional<Match> find(std::string_view scope, std::string_view agent,
                            std::span<const TokenId> tokens) const;
  /// Most tokens in common with a prompt of another scope.
  std::uint32_t common_elsewhere(std::string_view scope, std::span<const TokenId> tokens) const;

  /// Takes the place of what the agent went on from; of several talks of one agent each stays.
  ///   kept_tokens: of these, so many are in the cache now
  void remember(std::string_view scope, std::string_view agent, std::span<const TokenId> tokens,
                std::uint32_t kept_tokens);

 private:
  struct Entry {
    std::string scope;
    std::string agent;
    std::vector<TokenId> tokens;
    std::uint32_t kept_tokens = 0;
  };

  const Limits limits_;
  std::list<Entry> entries_;  ///< The oldest first.
  std::size_t tokens_ = 0;
};

/// What is known when a prompt is computed.
struct CacheFacts {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t read_tokens = 0;
  std::uint32_t readable_tokens = 0;  ///< Most that could have come from the cache.
  std::uint32_t block_tokens = 1;
  bool uses_cache = true;
  bool was_damaged = false;    ///< The disk had more, and it could not be read.
  bool came_too_late = false;  ///< The disk had more, and took too long.
  std::optional<PromptHistory::Match> match;
  std::uint32_t common_elsewhere = 0;
};
/// Says in words why not more came from the cache.
CacheReport explain_cache(const CacheFacts& facts);

}  // namespace onnxlocal
