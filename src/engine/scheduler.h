#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/decoder.h"

namespace onnxlocal {

/// How prompts are cut: chunk boundaries lie at absolute positions (multiples of `tokens`), so that
/// a prompt is cut the same way whatever else runs. `tokens` is a multiple of the block size where
/// it is at least one block: a chunk that begins behind cached blocks keeps each row's place in the
/// kernels' row tiles, and ends at the same boundaries as without them.
struct ChunkRule {
  std::uint32_t tokens = 1;           ///< At least 1.
  std::uint32_t block_tokens = 1;     ///< Of the prefix cache.
  std::uint32_t step_tokens_max = 1;  ///< Of a ragged step, all sequences together.
};
ChunkRule make_chunk_rule(std::uint32_t wanted_tokens, const DecoderLimits& limits,
                          const KvLayout& layout);

/// Where the chunk that begins at `position` ends.
/// For kChunkOrSingles.
std::uint32_t chunk_end(const ChunkRule& rule, std::uint32_t position, std::uint32_t prompt_tokens);

/// Most prompt tokens that may come from the prefix cache: whole blocks, and at least the last
/// token is computed, for its logits. Where that last token would be alone although a cold run
/// computes it together with others, one block less: kernels for a single row sum in another order.
std::uint32_t reusable_tokens_max(const ChunkRule& rule, std::uint32_t prompt_tokens);

/// What the scheduler knows of one running sequence.
struct SequenceView {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t position = 0;      ///< Tokens in the slot.
  std::uint32_t draft_tokens = 0;  ///< Guesses to be verified with its next token.
  /// Sits this step out: another sequence is about to compute the blocks that it needs next, or the
  /// mask of its next token has not come.
  bool is_waiting = false;
  bool is_batch = false;
  bool is_prefilling() const { return position < prompt_tokens; }
};

/// Everything that a plan depends on.
struct SchedulerState {
  std::span<const SequenceView> sequences;  ///< In the order they were admitted.
  ChunkRule rule;
  StepMixing mixing = StepMixing::kChunkOrSingles;
  bool last_was_chunk = false;   ///< The step before ran a prefill chunk.
  std::uint64_t chunks_run = 0;  ///< Prefill chunks so far.
};

struct PlannedStep {
  std::size_t sequence = 0;  ///< Index into `SchedulerState::sequences`.
  std::uint32_t tokens = 0;  ///< From its position on.
  bool needs_logits = false;
  friend bool operator==(const PlannedStep&, const PlannedStep&) = default;
};

struct StepPlan {
  std::vector<PlannedStep> steps;  ///< Empty: nothing is runnable.
  bool has_chunk = false;
};

/// The next step. A pure function: no clock, no threads, no decoder.
///  - kChunkOrSingles: prefill chunks and decode steps take turns, so that a long prompt never
///    freezes the others and the others never starve it.
///  - kRagged: each step decodes all, and fills up with prompts: as much as a step holds where
///    nothing decodes, else a chunk's tokens, which hold the others up only so long. Results do not
///    depend on where a prompt is cut, so it is cut at any block.
///  - A sequence that waits for another's blocks, or for a mask, is left out.
///  - Live prompts come before batch prompts.
///  - Prefill chunks take turns between the oldest prompt and the one with the least left: short
///    prompts need not wait for a long one, and the oldest goes on all the same.
StepPlan plan_step(const SchedulerState& state);

}  // namespace onnxlocal
