#include "engine/scheduler.h"

#include <algorithm>
#include <optional>

namespace onnxlocal {
namespace {

/// Which prompt gets the next chunk, among those that are not in `plan` yet.
std::optional<std::size_t> next_prefill(const SchedulerState& state, std::uint64_t turn,
                                        const StepPlan& plan) {
  const auto is_planned = [&](std::size_t index) {
    return std::ranges::find(plan.steps, index, &PlannedStep::sequence) != plan.steps.end();
  };
  const auto may_run = [&](std::size_t index) {
    const SequenceView& view = state.sequences[index];
    return view.is_prefilling() && !view.is_waiting && !is_planned(index);
  };
  bool only_batch = true;
  for (std::size_t index = 0; index < state.sequences.size(); ++index) {
    if (may_run(index) && !state.sequences[index].is_batch) only_batch = false;
  }
  std::optional<std::size_t> best;
  std::uint32_t best_left = 0;
  for (std::size_t index = 0; index < state.sequences.size(); ++index) {
    const SequenceView& view = state.sequences[index];
    if (!may_run(index) || view.is_batch != only_batch) continue;
    const std::uint32_t left = view.prompt_tokens - view.position;
    if (best && left >= best_left) continue;
    best = index;
    best_left = left;
    if (turn % 2 == 0) break;  // The oldest one's turn.
  }
  return best;
}

PlannedStep chunk_step(const SchedulerState& state, std::size_t index) {
  const SequenceView& view = state.sequences[index];
  const std::uint32_t end = chunk_end(state.rule, view.position, view.prompt_tokens);
  return {
      .sequence = index, .tokens = end - view.position, .needs_logits = end == view.prompt_tokens};
}

void add_decode_steps(const SchedulerState& state, StepPlan& plan) {
  for (std::size_t index = 0; index < state.sequences.size(); ++index) {
    const SequenceView& view = state.sequences[index];
    if (view.is_prefilling() || view.is_waiting) continue;
    plan.steps.push_back(
        {.sequence = index, .tokens = 1 + view.draft_tokens, .needs_logits = true});
  }
}

std::uint32_t prefill_room(const SchedulerState& state, const StepPlan& decode) {
  if (decode.steps.empty()) return state.rule.step_tokens_max;
  std::uint32_t rows = 0;
  for (const PlannedStep& step : decode.steps) rows += step.tokens;
  const std::uint32_t most = std::max(state.rule.step_tokens_max, rows) - rows;
  return std::min(most, state.rule.tokens);
}

/// Up to `most` tokens of a prompt, ending at a block where it does not end the prompt.
PlannedStep ragged_chunk(const SchedulerState& state, std::size_t index, std::uint32_t most) {
  const SequenceView& view = state.sequences[index];
  std::uint32_t end = std::min(view.prompt_tokens, view.position + most);
  const bool is_last = end == view.prompt_tokens;
  const std::uint32_t block_end = end - end % state.rule.block_tokens;
  if (!is_last && block_end > view.position) end = block_end;
  return {.sequence = index, .tokens = end - view.position, .needs_logits = is_last};
}

StepPlan plan_ragged(const SchedulerState& state) {
  StepPlan plan;
  add_decode_steps(state, plan);
  std::uint32_t left = prefill_room(state, plan);
  for (std::uint64_t turn = state.chunks_run; left > 0; ++turn) {
    const auto index = next_prefill(state, turn, plan);
    if (!index) break;
    const PlannedStep step = ragged_chunk(state, *index, left);
    // Crumbs that fill a step up cost more than they bring.
    const bool is_crumb = !step.needs_logits && step.tokens < state.rule.block_tokens;
    if (is_crumb && plan.has_chunk) break;
    plan.steps.push_back(step);
    plan.has_chunk = true;
    left -= step.tokens;
  }
  return plan;
}

}  // namespace

ChunkRule make_chunk_rule(std::uint32_t wanted_tokens, const DecoderLimits& limits,
                          const KvLayout& layout) {
  ChunkRule rule;
  rule.block_tokens = std::max(layout.block_tokens, 1U);
  rule.step_tokens_max = std::max(limits.chunk_tokens_max, 1U);
  rule.tokens = std::max(std::min(wanted_tokens, limits.chunk_tokens_max), 1U);
  if (rule.tokens > rule.block_tokens) rule.tokens -= rule.tokens % rule.block_tokens;
  return rule;
}

std::uint32_t chunk_end(const ChunkRule& rule, std::uint32_t position,
                        std::uint32_t prompt_tokens) {
  const std::uint32_t to_boundary = rule.tokens - position % rule.tokens;
  return position + std::min(to_boundary, prompt_tokens - position);
}

std::uint32_t reusable_tokens_max(const ChunkRule& rule, std::uint32_t prompt_tokens) {
  const std::uint32_t last = prompt_tokens - 1;
  const std::uint32_t whole = last - last % rule.block_tokens;
  if (whole == 0) return 0;
  const bool would_be_alone = whole == last && last % rule.tokens != 0;
  return would_be_alone ? whole - rule.block_tokens : whole;
}

StepPlan plan_step(const SchedulerState& state) {
  if (state.mixing == StepMixing::kRagged) return plan_ragged(state);
  StepPlan plan;
  const auto prefill = next_prefill(state, state.chunks_run, plan);
  const bool nobody_decodes = std::ranges::none_of(state.sequences, [](const SequenceView& view) {
    return !view.is_prefilling() && !view.is_waiting;
  });
  if (prefill && (!state.last_was_chunk || nobody_decodes)) {
    plan.steps.push_back(chunk_step(state, *prefill));
    plan.has_chunk = true;
  } else {
    add_decode_steps(state, plan);
  }
  return plan;
}

}  // namespace onnxlocal
