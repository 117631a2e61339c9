#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/mask_stream.h"
#include "engine/output.h"
#include "engine/prefix_cache.h"
#include "engine/prefix_restorer.h"
#include "engine/sampler.h"
#include "generation/event.h"

namespace onnxlocal {

/// A place in the engine's bounded intake, given back when the sequence ends.
class IntakeTicket {
 public:
  IntakeTicket() = default;
  /// Counts itself in `taken`, which outlives it.
  explicit IntakeTicket(std::atomic<std::uint32_t>& taken) : taken_(&taken) { ++taken; }
  ~IntakeTicket() { give_back(); }
  IntakeTicket(IntakeTicket&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)) {}
  IntakeTicket& operator=(IntakeTicket&& other) noexcept {
    std::swap(taken_, other.taken_);
    return *this;
  }
  void give_back() {
    if (taken_) --*std::exchange(taken_, nullptr);
  }

 private:
  std::atomic<std::uint32_t>* taken_ = nullptr;
};

/// A running generation. Waiting: no slot. Prefilling: `position < prefill_tokens`. Decoding: the
/// slot holds all of `tokens` but the last; or all of them, where `held_logits` wait for a mask.
/// Engine thread only.
struct Sequence {
  SequenceId id;
  SequenceRequest request;  ///< `tokens_max` is clamped; the prompt moved to `tokens`.
  bool is_clamped = false;  ///< `tokens_max` is what the context has room for.
  std::uint32_t prompt_tokens = 0;
  std::vector<TokenId> tokens;  ///< [0, prompt_tokens) the prompt, then what was generated.
  /// What is computed before it decodes: the prompt, and what it had generated when it was
  /// preempted.
  std::uint32_t prefill_tokens = 0;
  std::size_t kv_bytes_reserved = 0;
  EventSink sink;
  IntakeTicket ticket;
  Sampler sampler;
  Output output;

  bool has_turn = false;  ///< Of a batch, and counts as a live one for a while.
  std::optional<SlotId> slot;
  std::uint32_t position = 0;  ///< Tokens in the slot.
  std::vector<TokenId> draft;  ///< Guesses that the next step verifies.
  PrefixCache::Path kept;  ///< [0, blocks) of `tokens` in the prefix cache; closed: do not use it.
  /// Blocks that come from the disk; the prompt is not computed before.
  std::unique_ptr<PrefixRestorer::Order> restore = nullptr;
  std::uint32_t offered_blocks = 0;   ///< The disk was told of them.
  std::uint32_t pinned_blocks = 0;    ///< Pins up to here are set.
  std::unique_ptr<MaskStream> masks;  ///< Null where the output is free.
  /// The logits of the next token, whose mask has not come. Else empty.
  std::vector<float> held_logits;
  Usage usage;
  bool has_begun = false;  ///< Its prompt was computed once, and its usage told.
  /// Where this much of the prompt came from is in `usage`, though it is computed again.
  std::uint32_t accounted_tokens = 0;
  std::optional<GenerationEvent> end;  ///< Set: to be removed, and this delivered, after the step.

  bool is_prefilling() const { return position < prefill_tokens; }
  bool is_restoring() const { return restore && !restore->is_over(); }
  bool waits_for_mask() const { return !held_logits.empty(); }
  /// Gives way to live sequences.
  bool is_batch() const { return request.priority == Priority::kBatch && !has_turn; }
  /// Whether the slot's tokens up to `end` still have to be counted in `usage`.
  bool is_unaccounted(std::uint32_t end) const {
    return !has_begun && end > accounted_tokens && end <= prompt_tokens;
  }
};

}  // namespace onnxlocal
