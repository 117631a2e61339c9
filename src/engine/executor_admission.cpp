// The executor's door: who gets a slot, which batch sequence gives its own up for a live one, and
// which may keep it for a while.
#include <algorithm>
#include <utility>
#include <variant>

#include "engine/executor.h"
#include "engine/limits.h"

namespace onnxlocal {

void Executor::enqueue(std::unique_ptr<Sequence> sequence) {
  // The first mask is there when the prompt is computed.
  if (sequence->request.constraint) {
    sequence->masks =
        std::make_unique<MaskStream>(std::move(sequence->request.constraint), mask_dispatch_);
  }
  keeper_.enqueue(*sequence);
  if (sequence->is_batch() && !turn_ && !oldest_batch()) batch_served_ = options_.now();
  waiting_.push_back(std::move(sequence));
}

/// The first that runs, else the first that waits.
Sequence* Executor::oldest_batch() const {
  const auto running =
      std::ranges::find_if(running_, [](const auto& sequence) { return sequence->is_batch(); });
  return running == running_.end() ? waiting_.first_batch() : running->get();
}

void Executor::update_turn() {
  if (turn_) {
    if (!turn_->slot || turn_->is_prefilling()) return;
    const auto now = options_.now();
    if (!turn_ends_) turn_ends_ = now + kBatchTurn;
    if (now < *turn_ends_) return;
    turn_->has_turn = false;
    turn_ = nullptr;
    return;
  }
  Sequence* next = oldest_batch();
  if (!next || options_.now() - batch_served_ < kBatchPatience) return;
  turn_ = next;
  turn_ends_.reset();
  if (next->slot) {
    next->has_turn = true;
  } else {
    waiting_.give_turn_to_first_batch();
  }
}

void Executor::admit() {
  update_turn();
  while (!waiting_.empty()) {
    if (!place_first() && !preempt_for(waiting_.front())) return;
  }
}

/// Gives the first that waits a slot, where there is room for it.
bool Executor::place_first() {
  if (!has_room_for(waiting_.front())) return false;
  const auto slot = slots_.take(waiting_.front().kv_bytes_reserved);
  if (!slot) return false;
  running_.push_back(waiting_.pop_front());
  Sequence& sequence = *running_.back();
  sequence.slot = slot;
  keeper_.admit(sequence);
  return true;
}

/// The batch sequence that came last gives its slot up. Not where a live sequence would find no
/// room even if all of them did.
bool Executor::preempt_for(const Sequence& sequence) {
  if (sequence.is_batch() || !fits_without_batch(sequence)) return false;
  const auto victim = std::ranges::find_if(running_.rbegin(), running_.rend(),
                                           [](const auto& running) { return running->is_batch(); });
  if (victim == running_.rend()) return false;
  preempt(std::move(*victim));
  std::erase(running_, nullptr);
  return true;
}

bool Executor::fits_without_batch(const Sequence& sequence) const {
  std::size_t bytes = sequence.kv_bytes_reserved;
  std::uint64_t tokens = tokens_at_most(sequence);
  for (const auto& running : running_) {
    if (running->is_batch()) continue;
    bytes += running->kv_bytes_reserved;
    tokens += tokens_at_most(*running);
  }
  return bytes <= slots_.bytes_max() && tokens <= shared_tokens_;
}

/// Back to the queue with what it generated: that is now part of what it computes first, and its
/// blocks are in the prefix cache. What was delivered, sampled and counted stays so.
void Executor::preempt(std::unique_ptr<Sequence> sequence) {
  ++totals_.preemptions;
  sequence->accounted_tokens = std::max(sequence->accounted_tokens, sequence->position);
  release_slot(*sequence);
  sequence->position = 0;
  sequence->prefill_tokens = static_cast<std::uint32_t>(sequence->tokens.size());
  sequence->draft.clear();
  sequence->held_logits.clear();
  waiting_.push_front(std::move(sequence));
}

void Executor::release_slot(Sequence& sequence) {
  keeper_.end(sequence);
  decoder_->truncate(*sequence.slot, 0);
  if (speculator_) speculator_->forget(*sequence.slot);
  slots_.give_back(*sequence.slot);
  sequence.slot.reset();
}

void Executor::cancel(SequenceId id, const Error& why) {
  if (auto waiting = waiting_.remove(id)) {
    fail(*waiting, why);
    retire(std::move(waiting));
    return;
  }
  const auto has_id = [id](const auto& sequence) { return sequence->id == id; };
  const auto running = std::ranges::find_if(running_, has_id);
  if (running == running_.end()) return;
  fail(**running, why);
  remove_ended();
}

void Executor::cancel_all(const Error& why) {
  for (auto& sequence : waiting_.remove_all()) {
    fail(*sequence, why);
    retire(std::move(sequence));
  }
  for (auto& sequence : running_) fail(*sequence, why);
  remove_ended();
}

void Executor::remove_ended() {
  for (auto& sequence : running_) {
    if (!sequence->end) continue;
    release_slot(*sequence);
    retire(std::move(sequence));
  }
  std::erase(running_, nullptr);
}

void Executor::retire(std::unique_ptr<Sequence> sequence) {
  if (turn_ == sequence.get()) turn_ = nullptr;
  if (const auto* failed = std::get_if<GenerationFailed>(&*sequence->end)) {
    const bool is_cancelled = failed->error.code == ErrorCode::kCancelled;
    ++(is_cancelled ? totals_.sequences_cancelled : totals_.sequences_failed);
  } else {
    ++totals_.sequences_finished;
  }
  sequence->ticket.give_back();
  ended_.push_back(std::move(sequence));
}

void Executor::deliver_ends() {
  for (const auto& sequence : std::exchange(ended_, {})) {
    sequence->sink(*std::move(sequence->end));
  }
}

}  // namespace onnxlocal
