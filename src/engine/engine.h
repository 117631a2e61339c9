#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "generation/event.h"
#include "generation/sampling.h"
#include "generation/token.h"
#include "runtime/decoder.h"
#include "text/tokenizer.h"

namespace onnxlocal {

struct SequenceTag;
/// One running generation, never reused within an engine.
using SequenceId = StrongId<SequenceTag, std::uint64_t>;

/// What the engine needs to know of one generation.
struct SequenceRequest {
  std::vector<TokenId> prompt;  ///< At least one token.
  SamplingOptions sampling;
  std::uint32_t tokens_max = 0;  ///< At least 1; clamped to the room that the slot has left.
  std::vector<std::string> stop_strings;
  std::vector<TokenId> stop_tokens;  ///< Besides the model's own end tokens.
  bool ignore_end_tokens = false;    ///< For benches: goes on to `tokens_max`.
  bool use_prefix_cache = true;
  std::string cache_scope;
};

struct EngineOptions {
  std::vector<TokenId> end_tokens;   ///< End a turn; from the model's configuration.
  std::uint32_t chunk_tokens = 256;  ///< Prefill chunk between two decode steps.
  std::uint32_t queue_max = 64;      ///< Sequences that wait for a slot; one more is overloaded.
  std::size_t kv_bytes_max = std::size_t{4} << 30;  ///< Keys and values of running sequences.
  std::size_t prefix_cache_bytes_max = std::size_t{1} << 30;  ///< 0 turns the cache off.
  std::string cache_key;  ///< Model hash: part of each prefix's key.
  /// For requests that name no seed; the system's randomness where empty.
  std::optional<std::uint64_t> random_seed;
};

/// A snapshot; its numbers belong together.
struct EngineStatus {
  std::uint32_t queued = 0;
  std::uint32_t running = 0;
  std::uint32_t slots = 0;
  std::size_t kv_bytes_in_use = 0;
  std::size_t prefix_cache_bytes = 0;
  std::uint64_t sequences_finished = 0;
  std::uint64_t sequences_cancelled = 0;
  std::uint64_t sequences_failed = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t generated_tokens = 0;
  bool failed = false;  ///< The decoder failed in a way that it does not recover from.
};

/// Runs generations on one thread by continuous batching (Orca, Yu et al. 2022): drain messages,
/// plan a step, run it, deliver events. Any thread may call any method; events come on the engine's
/// own thread. The destructor cancels what runs and joins.
class Engine {
 public:
  /// `tokenizer` may be null: then deltas have tokens and no text, and stop strings are refused.
  static Result<std::unique_ptr<Engine>> start(std::unique_ptr<Decoder> decoder,
                                               std::shared_ptr<const Tokenizer> tokenizer,
                                               EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues a generation; its events go to `sink`, the last one is Finished or Failed. Does not
  /// wait. Errors (then `sink` is never called): invalid_request, prompt_too_long, overloaded
  /// (queue full, or it could never fit the byte budget), unavailable (shutting down).
  Result<SequenceId> submit(SequenceRequest request, EventSink sink);

  /// Ends a generation within one step: its sink gets Failed{cancelled}. Unknown ids are ignored.
  void cancel(SequenceId sequence);

  EngineStatus status() const;
  const DecoderLimits& limits() const;

  /// Refuses new work, waits for what runs until the deadline, cancels the rest, joins the thread.
  /// True where nothing had to be cancelled. Call it once or never.
  bool shut_down(Deadline deadline);

 private:
  class Loop;
  explicit Engine(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace onnxlocal
