#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/mask_stream.h"
#include "engine/prefix_keeper.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/slot_pool.h"
#include "engine/speculator.h"
#include "engine/waiting_queue.h"
#include "runtime/decoder.h"

namespace onnxlocal {

/// What is known of a prompt that is being computed; see `Engine::prompt_usage`.
struct PromptUsage {
  SequenceId sequence;
  Usage usage;
};

/// Runs sequences on a decoder, one step at a time: no thread or channel of its own, and no clock
/// that results depend on, so that a simulation can drive it. Engine thread only.
///
/// Invariants
///  - Live sequences are admitted before batch ones, each kind in the order it came; nobody
///    overtakes the first that waits. Where batch sequences got nothing done for `kBatchPatience`,
///    one of them counts as the first live one for its turn.
///  - Each running sequence owns one slot, which holds exactly `position` of its tokens.
///  - What a sequence gets does not depend on when its masks come, nor on preemption where the
///    decoder gives the same bits for a token alone and in a chunk (our own provider does).
///  - What running sequences may come to in bytes is within the budget, and where slots share one
///    memory, what they may still take of it is free.
class Executor {
 public:
  /// `drafter` is null where nobody guesses; else the decoder is ragged. After each job that
  /// `mask_dispatch` gets, after `on_disk_news` (on another thread), and at `wake_at`, `step` is to
  /// be called again.
  Executor(
      std::unique_ptr<Decoder> decoder, const EngineOptions& options, MaskDispatch mask_dispatch,
      std::unique_ptr<Drafter> drafter = nullptr, std::function<void()> on_disk_news = [] {});
  ~Executor();

  /// Puts a sequence at the end of its kind's queue.
  void enqueue(std::unique_ptr<Sequence> sequence);
  /// Ends a sequence with Failed{`why`}; unknown ids are ignored.
  void cancel(SequenceId id, const Error& why);
  void cancel_all(const Error& why);

  bool has_work() const { return !waiting_.empty() || !running_.empty(); }
  /// Admits, plans, runs, samples, and delivers all events but the last ones. False where nothing
  /// could be done: all that runs waits for masks, or for the disk.
  bool step();
  std::chrono::steady_clock::time_point wake_at() const { return keeper_.wake_at(); }
  /// See `PrefixKeeper::close_disk`.
  void close_disk(Deadline deadline) { keeper_.close_disk(deadline); }

  /// Delivers the last event of each sequence that ended since. Apart from `step`, so that a status
  /// can be published in between: who sees the end sees its effects.
  void deliver_ends();

  /// See `PrefixKeeper::explain_with`.
  void explain_with(std::function<std::string(std::span<const TokenId>)> to_text) {
    keeper_.explain_with(std::move(to_text));
  }

  /// Everything but what the intake counts.
  EngineStatus status() const;
  std::vector<PromptUsage> prompt_usages() const;
  const DecoderLimits& limits() const { return decoder_->limits(); }
  /// The first invariant that does not hold.
  Result<void> check_invariants() const;

 private:
  void admit();
  bool place_first();
  bool preempt_for(const Sequence& sequence);
  Sequence* oldest_batch() const;
  void update_turn();
  bool fits_without_batch(const Sequence& sequence) const;
  void preempt(std::unique_ptr<Sequence> sequence);
  void release_slot(Sequence& sequence);
  bool has_room_for(const Sequence& sequence) const;
  std::uint64_t tokens_at_most(const Sequence& sequence) const;
  std::uint64_t whole_blocks(std::uint64_t tokens) const;
  std::uint64_t promised_tokens() const;
  std::uint32_t shared_blocks(const Sequence& one, const Sequence& other) const;
  bool waits_for_blocks(const Sequence& sequence) const;
  void share_prefix(Sequence& sequence);

  bool sample_held();
  StepPlan plan();
  void propose_drafts();
  void run(const StepPlan& plan);
  Result<Logits> forward(std::span<const Step> steps, const StepPlan& plan);
  void count_step(const StepPlan& plan, double seconds);
  void begin_answer(Sequence& sequence);
  void take_rows(Sequence& sequence, const Logits& logits, std::uint32_t first_row,
                 std::uint32_t rows);
  void fail_plan(const StepPlan& plan, const Error& error);
  void take_logits(Sequence& sequence, std::span<const float> logits);
  void hold_logits(Sequence& sequence, std::span<const float> logits);
  void finish(Sequence& sequence, StopReason reason);
  void fail(Sequence& sequence, Error error);
  bool is_end_token(const Sequence& sequence, TokenId token) const;

  void remove_ended();
  void retire(std::unique_ptr<Sequence> sequence);

  const EngineOptions options_;
  const std::unique_ptr<Decoder> decoder_;
  const ChunkRule rule_;
  PrefixKeeper keeper_;  ///< Before the sequences, whose paths point into its cache.
  SlotPool slots_;
  const std::uint64_t shared_tokens_;  ///< Room in a memory that all slots share.
  MaskDispatch mask_dispatch_;
  SamplerScratch scratch_;
  std::optional<Speculator> speculator_;
  WaitingQueue waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  ///< In the order of admission.
  std::vector<std::unique_ptr<Sequence>> ended_;    ///< Their last event is still to be delivered.

  Sequence* turn_ = nullptr;  ///< Whose turn it is, waiting or running.
  /// When it ends; empty before its prompt is computed.
  std::optional<std::chrono::steady_clock::time_point> turn_ends_;
  std::chrono::steady_clock::time_point batch_served_;  ///< The last step with a batch sequence.

  bool last_was_chunk_ = false;
  std::uint64_t chunks_run_ = 0;
  std::uint32_t failures_in_a_row_ = 0;
  EngineStatus totals_;  ///< The counters that only grow.
};

}  // namespace onnxlocal
