// The executor's slots: who may have one, what one shares with another, and the check that all of
// it agrees.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "engine/executor.h"
#include "engine/limits.h"

namespace onnxlocal {

std::uint64_t Executor::whole_blocks(std::uint64_t tokens) const {
  return (tokens + rule_.block_tokens - 1) / rule_.block_tokens * rule_.block_tokens;
}

/// Whole blocks that the sequence may come to; its last token never enters the slot.
std::uint64_t Executor::tokens_at_most(const Sequence& sequence) const {
  return whole_blocks(std::uint64_t{sequence.prompt_tokens} + sequence.request.tokens_max - 1);
}

/// What running sequences may still take of a memory that all slots share.
std::uint64_t Executor::promised_tokens() const {
  std::uint64_t promised = 0;
  for (const auto& sequence : running_) {
    promised += tokens_at_most(*sequence) - whole_blocks(sequence->position);
  }
  return promised;
}

bool Executor::has_room_for(const Sequence& sequence) const {
  const std::uint64_t free = decoder_->free_tokens();
  if (free == Decoder::kNoSharedLimit) return true;
  return promised_tokens() + tokens_at_most(sequence) <= free;
}

/// Whole blocks at the beginning of `one`'s prompt that `other` has, or will have, in its slot.
std::uint32_t Executor::shared_blocks(const Sequence& one, const Sequence& other) const {
  const bool may_share = one.kept.is_open() && other.kept.is_open() &&
                         one.request.cache_scope == other.request.cache_scope;
  if (!may_share) return 0;
  const std::uint32_t most = std::min(reusable_tokens_max(rule_, one.prefill_tokens),
                                      static_cast<std::uint32_t>(other.tokens.size()) - 1);
  const auto tokens = std::span(one.tokens).first(most);
  const auto differ = std::ranges::mismatch(tokens, other.tokens).in1;
  return static_cast<std::uint32_t>(differ - tokens.begin()) / rule_.block_tokens;
}

/// Two prompts that begin alike are not computed side by side: the later one waits, then shares. No
/// two wait for each other, for the one that is ahead, or came first, does not.
bool Executor::waits_for_blocks(const Sequence& sequence) const {
  if (!sequence.is_prefilling()) return false;
  bool is_before = true;
  for (const auto& other : running_) {
    if (other.get() == &sequence) {
      is_before = false;
      continue;
    }
    const bool is_ahead =
        other->position > sequence.position || (is_before && other->position == sequence.position);
    if (!other->is_prefilling() || !is_ahead) continue;
    const std::uint32_t shared = shared_blocks(sequence, *other) * rule_.block_tokens;
    if (shared > std::max(sequence.position, other->position)) return true;
  }
  return false;
}

/// An empty slot begins with the blocks of another one, by reference where the decoder can.
void Executor::share_prefix(Sequence& sequence) {
  if (!sequence.kept.is_open()) return;
  const Sequence* best = nullptr;
  std::uint32_t best_blocks = 0;
  for (const auto& other : running_) {
    if (other.get() == &sequence) continue;
    const std::uint32_t blocks =
        std::min(shared_blocks(sequence, *other), other->position / rule_.block_tokens);
    if (blocks <= best_blocks) continue;
    best = other.get();
    best_blocks = blocks;
  }
  if (!best) return;
  const std::uint32_t tokens = best_blocks * rule_.block_tokens;
  const auto copied = decoder_->copy_prefix(*best->slot, *sequence.slot, tokens);
  if (!copied) {
    LOG_WARNING("a prefix was not shared, computing it again: {}", describe(copied.error()));
    decoder_->truncate(*sequence.slot, 0);
    return;
  }
  sequence.position = tokens;
  for (std::uint32_t end = rule_.block_tokens; end <= tokens; end += rule_.block_tokens) {
    if (sequence.is_unaccounted(end)) sequence.usage.cache_read_tokens += rule_.block_tokens;
  }
  keeper_.follow(sequence, best_blocks);
}

EngineStatus Executor::status() const {
  EngineStatus status = totals_;
  status.queued = static_cast<std::uint32_t>(waiting_.size());
  status.queued_batch = static_cast<std::uint32_t>(waiting_.batch_size());
  status.running = static_cast<std::uint32_t>(running_.size());
  status.slots = decoder_->limits().slots;
  for (const auto& sequence : running_) {
    status.kv_bytes_in_use += sequence->position * decoder_->limits().kv_bytes_per_token;
  }
  keeper_.add_to(status);
  status.failed = failures_in_a_row_ >= kDecoderFailuresMax;
  return status;
}

std::vector<PromptUsage> Executor::prompt_usages() const {
  std::vector<PromptUsage> usages;
  for (const auto& sequence : running_) {
    if (sequence->has_begun || sequence->position == 0) continue;
    usages.push_back({.sequence = sequence->id, .usage = keeper_.expected_usage(*sequence)});
  }
  return usages;
}

Result<void> Executor::check_invariants() const {
  const auto broken = [](std::string what) {
    return std::unexpected(internal_error(fmt::format("engine: {}", what)));
  };
  TRY_VOID(keeper_.check_invariants());
  std::size_t reserved = 0;
  for (const auto& sequence : running_) {
    const std::uint32_t position = sequence->position;
    if (!sequence->slot || !slots_.is_taken(*sequence->slot)) return broken("a slot is not taken");
    if (decoder_->length(*sequence->slot) != position) {
      return broken(fmt::format("slot {} holds {} tokens, its sequence {}", sequence->slot->value,
                                decoder_->length(*sequence->slot), position));
    }
    const std::uint32_t next = sequence->waits_for_mask() ? 0 : 1;
    if (!sequence->is_prefilling() && position + next != sequence->tokens.size()) {
      return broken("a decoding sequence does not wait with exactly one token");
    }
    if (sequence->waits_for_mask() && (!sequence->masks || sequence->is_prefilling())) {
      return broken("logits are held for a mask that nobody computes");
    }
    if (position > limits().slot_tokens_max) return broken("a slot is overfull");
    reserved += sequence->kv_bytes_reserved;
  }
  if (decoder_->free_tokens() != Decoder::kNoSharedLimit &&
      promised_tokens() > decoder_->free_tokens()) {
    return broken("more of the shared memory is promised than there is");
  }
  if (slots_.taken() != running_.size()) return broken("a slot is taken twice, or by nobody");
  if (reserved != slots_.reserved_bytes() || reserved > slots_.bytes_max()) {
    return broken("the byte budget does not add up");
  }
  for (std::uint32_t slot = 0; slot < limits().slots; ++slot) {
    if (!slots_.is_taken(SlotId{slot}) && decoder_->length(SlotId{slot}) != 0) {
      return broken(fmt::format("slot {} is free and not empty", slot));
    }
  }
  return {};
}

}  // namespace onnxlocal
