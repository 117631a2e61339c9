#include "engine/prompt_history.h"

#include <algorithm>

#include <fmt/format.h>

namespace onnxlocal {
namespace {

std::uint32_t common_tokens(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<std::uint32_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

std::string describe_difference(const PromptHistory::Match& match) {
  const std::string_view whose = match.is_same_agent ? "the last prompt of this agent"
                                                     : "the nearest earlier prompt of this API key";
  if (match.is_whole) return fmt::format("new from token {} on", match.common_tokens);
  return fmt::format("differs from {} at token {}", whose, match.common_tokens);
}

/// What was computed before and could have come from the cache has gone.
std::string describe_loss(const CacheFacts& facts) {
  if (facts.was_damaged) return "damaged on disk";
  if (facts.came_too_late) return "the disk was too slow";
  if (facts.read_tokens + facts.block_tokens > facts.match->kept_tokens) {
    return "found no room in the cache";
  }
  return "evicted";
}

}  // namespace

std::optional<PromptHistory::Match> PromptHistory::find(std::string_view scope,
                                                        std::string_view agent,
                                                        std::span<const TokenId> tokens) const {
  std::optional<Match> best;
  // The latest first: it counts where several have as much in common.
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->scope != scope) continue;
    const std::uint32_t common = common_tokens(entry->tokens, tokens);
    if (best && common <= best->common_tokens) continue;
    best = Match{.common_tokens = common,
                 .kept_tokens = entry->kept_tokens,
                 .is_same_agent = !agent.empty() && entry->agent == agent,
                 .is_whole = common == entry->tokens.size()};
  }
  return best;
}

std::uint32_t PromptHistory::common_elsewhere(std::string_view scope,
                                              std::span<const TokenId> tokens) const {
  std::uint32_t most = 0;
  for (const Entry& entry : entries_) {
    if (entry.scope != scope) most = std::max(most, common_tokens(entry.tokens, tokens));
  }
  return most;
}

void PromptHistory::remember(std::string_view scope, std::string_view agent,
                             std::span<const TokenId> tokens, std::uint32_t kept_tokens) {
  const auto forget = [this](std::list<Entry>::iterator entry) {
    tokens_ -= entry->tokens.size();
    return entries_.erase(entry);
  };
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const bool goes_on =
        entry->scope == scope && entry->agent == agent &&
        std::size_t{2} * common_tokens(entry->tokens, tokens) >= entry->tokens.size();
    entry = goes_on ? forget(entry) : std::next(entry);
  }
  if (tokens.size() > limits_.tokens_max || limits_.prompts_max == 0) return;
  while (!entries_.empty() &&
         (entries_.size() >= limits_.prompts_max || tokens_ + tokens.size() > limits_.tokens_max)) {
    forget(entries_.begin());
  }
  tokens_ += tokens.size();
  entries_.push_back({.scope = std::string(scope),
                      .agent = std::string(agent),
                      .tokens = {tokens.begin(), tokens.end()},
                      .kept_tokens = kept_tokens});
}

CacheReport explain_cache(const CacheFacts& facts) {
  CacheReport report{.prompt_tokens = facts.prompt_tokens,
                     .read_tokens = facts.read_tokens,
                     .first_difference = std::nullopt,
                     .reason = {}};
  // Blocks that were read are in common with something, remembered or not.
  const std::uint32_t common =
      std::max(facts.match ? facts.match->common_tokens : 0, facts.read_tokens);
  if ((facts.match || facts.read_tokens > 0) && common < facts.prompt_tokens) {
    report.first_difference = common;
  }
  if (!facts.uses_cache) {
    report.reason = "the prefix cache is off";
  } else if (facts.read_tokens >= facts.readable_tokens) {
    report.reason = facts.read_tokens < facts.prompt_tokens ? "less than one block left" : "";
  } else if (facts.match && facts.read_tokens + facts.block_tokens <=
                                std::min(facts.match->common_tokens, facts.readable_tokens)) {
    report.reason = describe_loss(facts);
  } else if (facts.was_damaged) {
    report.reason = "damaged on disk";
  } else if (facts.came_too_late) {
    report.reason = "the disk was too slow";
  } else if (facts.common_elsewhere >= common + facts.block_tokens) {
    report.reason = "another API key";
  } else if (facts.match && common == facts.match->common_tokens) {
    report.reason = describe_difference(*facts.match);
  } else if (facts.read_tokens > 0) {
    report.reason = fmt::format("new from token {} on", facts.read_tokens);
  } else {
    report.reason = "first request of this scope";
  }
  return report;
}

}  // namespace onnxlocal
