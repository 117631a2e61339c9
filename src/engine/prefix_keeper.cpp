#include "engine/prefix_keeper.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "engine/limits.h"

namespace onnxlocal {
namespace {

PrefixCache::Options cache_options(const EngineOptions& options, const KvLayout& layout) {
  return {.bytes_max = layout.block_tokens == 0 ? 0 : options.prefix_cache_bytes_max,
          .block_tokens = layout.block_tokens,
          .block_bytes = layout.block_bytes,
          .now = options.now};
}

}  // namespace

PrefixKeeper::PrefixKeeper(Decoder& decoder, const ChunkRule& rule, const EngineOptions& options)
    : decoder_(decoder),
      rule_(rule),
      options_(options),
      cache_(cache_options(options, decoder.layout())) {}

std::string PrefixKeeper::scope_of(const Sequence& sequence) const {
  return fmt::format("{}\n{}\n{}", options_.cache_key, decoder_.layout().layout_id,
                     sequence.request.cache_scope);
}

/// Empty for a stranger. Two keys may name their agents alike.
std::string PrefixKeeper::agent_of(const Sequence& sequence) const {
  if (sequence.request.agent.empty()) return {};
  return fmt::format("{}\n{}", sequence.request.agent, sequence.request.cache_scope);
}

bool PrefixKeeper::is_side_talk(const Sequence& sequence) const {
  return sequence.request.pins.empty() && sequence.prompt_tokens <= kSideTalkTokensMax;
}

std::span<const TokenId> PrefixKeeper::block_tokens(const Sequence& sequence,
                                                    std::uint32_t block) const {
  return std::span(sequence.tokens).subspan(block * rule_.block_tokens, rule_.block_tokens);
}

CacheRank PrefixKeeper::rank_of_next(const Sequence& sequence) const {
  const std::uint32_t end = (sequence.kept.blocks() + 1) * rule_.block_tokens;
  const auto covers = [end](const PrefixPin& pin) { return pin.tokens >= end; };
  if (std::ranges::any_of(sequence.request.pins, covers)) return CacheRank::kPinned;
  const bool is_agents = !sequence.request.agent.empty() && !is_side_talk(sequence);
  return is_agents ? CacheRank::kAgent : CacheRank::kAnonymous;
}

void PrefixKeeper::admit(Sequence& sequence) {
  if (!sequence.request.use_prefix_cache || !is_on()) return;
  sequence.kept = cache_.open(scope_of(sequence));
}

void PrefixKeeper::follow(Sequence& sequence, std::uint32_t blocks) {
  while (sequence.kept.blocks() < blocks &&
         cache_.follow(sequence.kept, block_tokens(sequence, sequence.kept.blocks()))) {
  }
}

/// Up to `reusable_tokens_max`. A failed import leaves the slot as it was, without the cache.
void PrefixKeeper::take(Sequence& sequence) {
  if (!sequence.kept.is_open()) return;
  const std::uint32_t size = rule_.block_tokens;
  const std::uint32_t end = reusable_tokens_max(rule_, sequence.prefill_tokens);
  // Behind a position inside a block, or behind blocks that found no room in the cache, nothing can
  // be appended.
  while (sequence.position == sequence.kept.blocks() * size && sequence.position + size <= end) {
    if (!cache_.follow(sequence.kept, block_tokens(sequence, sequence.kept.blocks()))) return;
    const auto imported = decoder_.import_blocks(*sequence.slot, cache_.bytes(sequence.kept));
    if (!imported) {
      LOG_WARNING("cached keys and values were not taken, computing the rest: {}",
                  describe(imported.error()));
      decoder_.truncate(*sequence.slot, sequence.position);
      sequence.kept = {};
      return;
    }
    sequence.position += size;
    if (sequence.is_unaccounted(sequence.position)) sequence.usage.cache_read_tokens += size;
  }
}

void PrefixKeeper::keep(Sequence& sequence) {
  if (!sequence.kept.is_open()) return;
  const std::uint32_t size = rule_.block_tokens;
  while ((sequence.kept.blocks() + 1) * size <= sequence.position) {
    const std::uint32_t block = sequence.kept.blocks();
    const auto tokens = block_tokens(sequence, block);
    if (cache_.follow(sequence.kept, tokens)) continue;  // Another sequence was faster.
    const auto fill = [&](std::span<std::byte> bytes) {
      return decoder_.export_blocks(*sequence.slot, block, bytes);
    };
    if (!cache_.add(sequence.kept, tokens, fill, rank_of_next(sequence))) break;
    if (sequence.is_unaccounted((block + 1) * size)) sequence.usage.cache_creation_tokens += size;
  }
  pin(sequence);
}

/// As soon as their blocks are there: what comes behind them must not push them out.
void PrefixKeeper::pin(Sequence& sequence) {
  const std::uint32_t kept = sequence.kept.blocks();
  for (const PrefixPin& pin : sequence.request.pins) {
    const std::uint32_t blocks = pin.tokens / rule_.block_tokens;
    if (blocks <= sequence.pinned_blocks || blocks > kept) continue;
    cache_.pin(sequence.kept, blocks, pin.ttl);
  }
  sequence.pinned_blocks = std::max(sequence.pinned_blocks, kept);
}

CacheReport PrefixKeeper::report(const Sequence& sequence) {
  const std::string& scope = sequence.request.cache_scope;
  const auto prompt = std::span(sequence.tokens).first(sequence.prompt_tokens);
  const CacheReport report =
      explain_cache({.prompt_tokens = sequence.prompt_tokens,
                     .read_tokens = sequence.usage.cache_read_tokens,
                     .readable_tokens = reusable_tokens_max(rule_, sequence.prompt_tokens),
                     .block_tokens = rule_.block_tokens,
                     .uses_cache = sequence.request.use_prefix_cache && is_on(),
                     .match = history_.find(scope, sequence.request.agent, prompt),
                     .common_elsewhere = history_.common_elsewhere(scope, prompt)});
  log(sequence, report);
  remember(sequence);
  return report;
}

void PrefixKeeper::remember(const Sequence& sequence) {
  if (!sequence.request.use_prefix_cache || !is_on() || sequence.position == 0) return;
  history_.remember(sequence.request.cache_scope, sequence.request.agent,
                    std::span(sequence.tokens).first(sequence.position),
                    sequence.kept.blocks() * rule_.block_tokens);
}

void PrefixKeeper::log(const Sequence& sequence, const CacheReport& report) const {
  const std::string difference =
      report.first_difference ? fmt::format(", same up to token {}", *report.first_difference) : "";
  const std::string line = fmt::format("prefix cache: {} of {} prompt tokens read{}{}{}",
                                       report.read_tokens, report.prompt_tokens, difference,
                                       report.reason.empty() ? "" : "; ", report.reason);
  if (options_.explain_cache == ExplainCache::kOff) {
    LOG_VERBOSE("{}", line);
    return;
  }
  LOG_INFO("{}", line);
  const bool shows_text = options_.explain_cache == ExplainCache::kText && to_text_;
  if (!shows_text || !report.first_difference) return;
  const auto prompt = std::span(sequence.tokens).first(sequence.prompt_tokens);
  const std::uint32_t at = *report.first_difference;
  const std::uint32_t before = std::min(at, kExplainedTokens);
  const std::uint32_t behind = std::min(report.prompt_tokens - at, kExplainedTokens);
  LOG_INFO("prefix cache: same up to {:?}, then {:?}",
           to_text_(prompt.subspan(at - before, before)), to_text_(prompt.subspan(at, behind)));
}

void PrefixKeeper::end(Sequence& sequence) {
  keep(sequence);
  if (sequence.kept.is_open()) {
    cache_.keep_for_agent(sequence.kept, agent_of(sequence), is_side_talk(sequence));
    // A prompt that was cut short is remembered too: its blocks are there.
    remember(sequence);
  }
  sequence.kept = {};
}

void PrefixKeeper::add_to(EngineStatus& status) const {
  status.prefix_cache_bytes = cache_.bytes_in_use();
  status.prefix_cache_pinned_bytes = cache_.marked_bytes();
  status.prefix_cache_evictions = cache_.evictions();
}

}  // namespace onnxlocal
