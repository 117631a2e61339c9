#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "base/channel.h"
#include "base/deadline.h"
#include "base/result.h"
#include "engine/drafter.h"
#include "engine/engine.h"
#include "engine/executor.h"
#include "engine/mask_workers.h"

namespace onnxlocal {

/// What the engine's thread runs, and the door to it. `Engine` gives it a thread; a test drives it
/// step by step on its own.
///
/// Life of a request: `submit` checks it, takes an intake ticket (or answers overloaded) and sends
/// it through the channel; the engine's thread queues it, admits it to a slot, takes what the
/// prefix cache has, computes the rest in chunks, decodes a token per step, and removes it.
class EngineLoop {
 public:
  /// Masks are computed by `masks`, or by workers of its own where that is null.
  EngineLoop(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Tokenizer> tokenizer,
             EngineOptions options, std::unique_ptr<Drafter> drafter = nullptr,
             MaskDispatch masks = nullptr);

  ~EngineLoop();
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // Any thread; see `Engine`.
  Result<SequenceId> submit(SequenceRequest request, EventSink sink);
  void cancel(SequenceId sequence);
  EngineStatus status() const;
  std::optional<Usage> prompt_usage(SequenceId sequence) const;
  const DecoderLimits& limits() const { return limits_; }
  /// Refuses new work from now on; `run` returns once nothing runs, or the deadline passed.
  void begin_shut_down(Deadline deadline);
  /// Whether a shutdown had to cancel something. After `run` returned.
  bool cancelled_at_shut_down() const { return cancelled_at_shut_down_; }

  // Engine thread only.
  /// Takes messages and runs steps until a shutdown is over; waits where there is nothing to do.
  void run();
  /// Takes what messages there are and runs one step. False where nothing can be done before the
  /// next message.
  bool run_one_step();
  Result<void> check_invariants() const { return executor_.check_invariants(); }

 private:
  struct Submit {
    std::unique_ptr<Sequence> sequence;
  };
  struct Cancel {
    SequenceId sequence;
  };
  struct ShutDown {
    Deadline deadline;
  };
  struct MaskCame {};
  struct DiskNews {};
  using EngineMessage = std::variant<Submit, Cancel, ShutDown, MaskCame, DiskNews>;

  void take(EngineMessage message);
  void compute_mask(MaskJob job);
  Deadline wait_until() const;
  void publish_and_deliver();
  void close();

  // Constant after construction.
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const EngineOptions options_;
  const std::uint64_t seed_;  ///< For requests without one.
  const DecoderLimits limits_;
  const std::uint64_t shared_tokens_max_;  ///< Room in all slots together.

  // Engine thread.
  Executor executor_;
  bool is_shutting_down_ = false;
  Deadline shut_down_deadline_;
  bool cancelled_at_shut_down_ = false;

  // Guarded by status_mutex_.
  mutable std::mutex status_mutex_;
  EngineStatus status_;
  std::vector<PromptUsage> prompts_;

  // Any thread.
  Channel<EngineMessage> messages_;
  std::atomic<std::uint32_t> live_tickets_ = 0;   ///< Live sequences from submit to their end.
  std::atomic<std::uint32_t> batch_tickets_ = 0;  ///< The others.
  std::atomic<std::uint64_t> next_id_ = 0;
  std::atomic<bool> is_accepting_ = true;

  std::optional<MaskWorkers> workers_;  ///< Last: they send messages.
};

}  // namespace onnxlocal
