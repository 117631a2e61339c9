#include "engine/speculator.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/draft_budget.h"

namespace onnxlocal {
namespace {

/// Rows of guesses in one step, of all sequences together: far above what pays.
constexpr std::uint32_t kDraftRowsMax = 32;

}  // namespace

Speculator::Speculator(std::unique_ptr<Drafter> drafter, const DecoderLimits& limits,
                       const SpeculationOptions& options)
    : drafter_(std::move(drafter)), limits_(limits), options_(options), records_(limits.slots) {}

/// Guesses beyond the last token that may be generated would be for nothing.
std::uint32_t Speculator::useful_tokens(const Sequence& sequence) const {
  const std::uint32_t left = sequence.request.tokens_max - sequence.usage.output_tokens;
  return std::min(options_.draft_tokens_max, left - 1);
}

/// Guesses leave room for the prompts: half of what the step has besides its decoding rows.
std::uint32_t Speculator::draft_rows_max(std::uint32_t decode_rows,
                                         std::uint32_t prefill_rows) const {
  const std::uint32_t room =
      limits_.chunk_tokens_max - std::min(limits_.chunk_tokens_max, decode_rows);
  return std::min(kDraftRowsMax, prefill_rows > 0 ? room / 2 : room);
}

void Speculator::propose(std::span<const std::unique_ptr<Sequence>> running,
                         std::uint32_t prefill_rows) {
  DraftBudget budget{.prefill_rows = prefill_rows};
  for (const auto& sequence : running) {
    sequence->draft.clear();
    const bool decodes = !sequence->is_prefilling() && !sequence->waits_for_mask();
    budget.decode_rows += decodes ? 1 : 0;
  }
  if (costs_.wants_plain_step()) return;
  std::vector<DraftRequest> requests;
  std::vector<DraftOffer> offers;
  for (const auto& sequence : running) {
    // A guess's mask would have to be there before the guess is verified.
    if (sequence->is_prefilling() || sequence->masks) continue;
    Record& record = records_.at(sequence->slot->value);
    const std::uint32_t useful = useful_tokens(*sequence);
    const bool is_resting = std::ranges::all_of(record.kinds, &Acceptance::is_paused);
    if (useful == 0 || is_resting) continue;
    const DraftSource source{
        .slot = *sequence->slot, .tokens = sequence->tokens, .sampler = &sequence->sampler};
    const DraftPrepared prepared = drafter_->prepare(source, useful);
    record.kind = prepared.kind;
    const Acceptance& acceptance = record.kinds.at(prepared.kind);
    if (prepared.tokens_max == 0 || acceptance.is_paused()) continue;
    requests.push_back({.source = source, .tokens_max = 0, .draft = &sequence->draft});
    offers.push_back({.acceptance = acceptance.rate(), .tokens_max = prepared.tokens_max});
  }
  budget.draft_rows_max = draft_rows_max(budget.decode_rows, prefill_rows);
  budget.round_cost = costs_.draft_round(drafter_->token_cost());
  const auto drafts = allot_drafts(offers, budget, costs_);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].tokens_max = drafts[i];
    Record& record = records_[requests[i].source.slot.value];
    if (drafts[i] == 0) record.kinds[record.kind].rest();
  }
  std::erase_if(requests, [](const DraftRequest& request) { return request.tokens_max == 0; });
  if (!requests.empty()) make_drafts(requests);
}

void Speculator::make_drafts(std::span<const DraftRequest> requests) {
  if (!options_.measure_costs) return drafter_->draft(requests);
  const auto begin = std::chrono::steady_clock::now();
  drafter_->draft(requests);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto longest = std::ranges::max_element(requests, {}, &DraftRequest::tokens_max);
  costs_.drafted(longest->tokens_max, took.count());
}

void Speculator::verified(const Sequence& sequence, std::uint32_t accepted) {
  Record& record = records_.at(sequence.slot->value);
  for (Acceptance& acceptance : record.kinds) acceptance.generated(accepted + 1);
  const auto drafted = static_cast<std::uint32_t>(sequence.draft.size());
  record.kinds.at(record.kind).record(drafted, accepted);
}

void Speculator::step_ran(std::uint32_t rows, std::uint32_t drafted, double seconds) {
  costs_.ran(rows, drafted, seconds);
}

void Speculator::forget(SlotId slot) {
  records_.at(slot.value) = {};
  drafter_->forget(slot);
}

}  // namespace onnxlocal
