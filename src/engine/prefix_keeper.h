#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/deadline.h"
#include "engine/disk_cache.h"
#include "engine/engine.h"
#include "engine/prefix_cache.h"
#include "engine/prefix_restorer.h"
#include "engine/prompt_history.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "runtime/decoder.h"

namespace onnxlocal {

/// What the prefix cache does for sequences: takes blocks out of it into their slots, keeps those
/// they compute, protects what is asked for, and says why a prompt found no more. Engine thread
/// only.
class PrefixKeeper {
 public:
  /// `decoder` outlives it. `on_news` is called on another thread when `poll` has something to do.
  PrefixKeeper(Decoder& decoder, const ChunkRule& rule, const EngineOptions& options,
               std::function<void()> on_news);

  /// The sequence came. What only the disk has of its prompt is on its way from now on; until
  /// `is_restoring` is over, the prompt is not to be computed.
  void enqueue(Sequence& sequence);
  /// Takes what came from the disk. True where a sequence waits no longer.
  bool poll() { return restorer_ && restorer_->poll(); }
  /// When to `poll` again at the latest, if nothing comes.
  PrefixCache::TimePoint wake_at() const;
  /// Writes to the disk what waits for it, until the deadline; then uses the disk no more.
  void close_disk(Deadline deadline);

  /// The sequence got an empty slot.
  void admit(Sequence& sequence);
  /// The slot holds the first `blocks` blocks already, from another slot.
  void follow(Sequence& sequence, std::uint32_t blocks);
  /// Extends the slot [0, position) by blocks that the cache has.
  void take(Sequence& sequence);
  /// Puts the slot's whole blocks behind what is kept already into the cache.
  void keep(Sequence& sequence);
  /// The usage of a prompt that is not computed yet, if all that can be kept finds room.
  Usage expected_usage(const Sequence& sequence) const;
  /// The prompt is computed: what the cache did for it. Logs it, and remembers the prompt.
  CacheReport report(const Sequence& sequence);
  /// The sequence is about to lose its slot.
  void end(Sequence& sequence);

  /// Turns tokens into text for the log, where `ExplainCache::kText` allows it.
  void explain_with(std::function<std::string(std::span<const TokenId>)> to_text) {
    to_text_ = std::move(to_text);
  }
  void add_to(EngineStatus& status) const;
  Result<void> check_invariants() const { return cache_.check_invariants(); }

 private:
  bool is_on() const { return options_.prefix_cache_bytes_max > 0; }
  std::string scope_of(const Sequence& sequence) const;
  std::string agent_of(const Sequence& sequence) const;
  bool is_side_talk(const Sequence& sequence) const;
  CacheRank rank_of(const Sequence& sequence, std::uint32_t block) const;
  void open_disk(std::function<void()> on_news);
  void offer_to_disk(Sequence& sequence);
  std::span<const TokenId> block_tokens(const Sequence& sequence, std::uint32_t block) const;
  void pin(Sequence& sequence);
  void remember(const Sequence& sequence);
  void log(const Sequence& sequence, const CacheReport& report) const;

  Decoder& decoder_;
  const ChunkRule rule_;
  const EngineOptions& options_;
  std::function<std::string(std::span<const TokenId>)> to_text_;
  PrefixCache cache_;
  PromptHistory history_{PromptHistory::Limits{}};
  std::unique_ptr<DiskCache> disk_;         ///< Null where there is none.
  std::optional<PrefixRestorer> restorer_;  ///< Where there is a disk.
};

}  // namespace onnxlocal
