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

PrefixKeeper::PrefixKeeper(Decoder& decoder, const ChunkRule& rule, const EngineOptions& options,
                           std::function<void()> on_news)
    : decoder_(decoder),
      rule_(rule),
      options_(options),
      cache_(cache_options(options, decoder.layout())) {
  const bool has_blocks = decoder.layout().block_tokens > 0 && is_on();
  if (has_blocks && !options.disk_cache.folder.empty()) open_disk(std::move(on_news));
}

void PrefixKeeper::open_disk(std::function<void()> on_news) {
  const DiskCacheOptions& wanted = options_.disk_cache;
  const KvLayout& layout = decoder_.layout();
  const std::uint64_t bytes_max =
      wanted.bytes_max > 0 ? wanted.bytes_max : default_disk_cache_bytes(wanted.folder);
  auto disk = DiskCache::open(
      {.model = wanted.model,
       .model_hash = options_.cache_key,
       .layout_id = layout.layout_id,
       .block_tokens = layout.block_tokens,
       .block_bytes = layout.block_bytes},
      {.pool = {.folder = wanted.folder, .bytes_max = bytes_max, .open_file = wanted.open_file},
       .queue_bytes_max = kDiskQueueBytesMax,
       .now_seconds = {}},
      std::move(on_news));
  if (!disk) {
    LOG_WARNING("prefixes are not kept on disk: {}", describe(disk.error()));
    return;
  }
  disk_ = *std::move(disk);
  restorer_.emplace(cache_, *disk_, rule_.block_tokens, options_.now);
  const DiskCache::Counts counts = disk_->counts();
  LOG_INFO("prefix cache: {} blocks in {} bytes on disk, at most {}", counts.blocks,
           counts.size_bytes, bytes_max);
}

void PrefixKeeper::close_disk(Deadline deadline) {
  if (disk_) disk_->close(deadline);
}

PrefixCache::TimePoint PrefixKeeper::wake_at() const {
  return restorer_ ? restorer_->wake_at() : PrefixCache::TimePoint::max();
}

void PrefixKeeper::enqueue(Sequence& sequence) {
  if (!restorer_ || !sequence.request.use_prefix_cache) return;
  const std::uint32_t most = reusable_tokens_max(rule_, sequence.prompt_tokens);
  sequence.restore = restorer_->ask(
      {.path = cache_.open(scope_of(sequence)),
       .scope = disk_key(sequence.request.cache_scope),
       .tokens = std::span(sequence.tokens).first(most),
       .rank_of = [this, &sequence](std::uint32_t block) { return rank_of(sequence, block); }});
}

/// The bytes are shared with the cache, not copied. What finds no room in the queue is offered
/// again with what comes next.
void PrefixKeeper::offer_to_disk(Sequence& sequence) {
  const std::uint32_t kept = sequence.kept.blocks();
  if (!disk_ || kept <= sequence.offered_blocks) return;
  sequence.offered_blocks = kept;
  const auto tokens = std::span(sequence.tokens).first(std::size_t{kept} * rule_.block_tokens);
  const DiskKey scope = disk_key(sequence.request.cache_scope);
  disk_->store(scope, tokens,
               [&](std::uint32_t first) { return cache_.blocks_of(sequence.kept, first); });
  for (const PrefixPin& pin : sequence.request.pins) {
    const std::uint32_t blocks = pin.tokens / rule_.block_tokens;
    if (blocks > kept) continue;
    disk_->pin(scope, tokens.first(std::size_t{blocks} * rule_.block_tokens), pin.ttl);
  }
}

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
  return std::span(sequence.tokens)
      .subspan(std::size_t{block} * rule_.block_tokens, rule_.block_tokens);
}

CacheRank PrefixKeeper::rank_of(const Sequence& sequence, std::uint32_t block) const {
  const std::uint32_t end = (block + 1) * rule_.block_tokens;
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
    if (!cache_.add(sequence.kept, tokens, fill, rank_of(sequence, block))) break;
    // The last token of a prompt is computed each time, and counts as input with its block.
    const std::uint32_t end = (block + 1) * size;
    if (sequence.is_unaccounted(end) && end < sequence.prompt_tokens) {
      sequence.usage.cache_creation_tokens += size;
    }
  }
  pin(sequence);
  offer_to_disk(sequence);
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

Usage PrefixKeeper::expected_usage(const Sequence& sequence) const {
  const std::uint32_t size = rule_.block_tokens;
  const std::uint32_t kept = sequence.kept.blocks();
  Usage usage = sequence.usage;
  // As `keep` does it: behind blocks that found no room nothing is kept, nor the last token's
  // block.
  const bool keeps = sequence.kept.is_open() && (kept + 1) * size > sequence.position;
  const std::uint32_t blocks = (sequence.prompt_tokens - 1) / size;
  if (keeps && blocks > kept) usage.cache_creation_tokens += (blocks - kept) * size;
  usage.input_tokens =
      sequence.prompt_tokens - usage.cache_read_tokens - usage.cache_creation_tokens;
  return usage;
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
                     .was_damaged = sequence.restore && sequence.restore->was_damaged(),
                     .came_too_late = sequence.restore && sequence.restore->came_too_late(),
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
  sequence.offered_blocks = 0;
  offer_to_disk(sequence);  // All of it once more: the queue may have been full.
  sequence.restore.reset();
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
  if (!disk_) return;
  const DiskCache::Counts counts = disk_->counts();
  status.disk_cache_bytes = counts.size_bytes;
  status.disk_cache_pinned_bytes = counts.pinned_blocks * decoder_.layout().block_bytes;
  status.disk_cache_evictions = counts.evictions;
  status.disk_cached_tokens = restorer_->restored_blocks() * rule_.block_tokens;
}

}  // namespace onnxlocal
