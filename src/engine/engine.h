#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/block_file.h"
#include "base/deadline.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "engine/constraint.h"
#include "generation/event.h"
#include "generation/request.h"
#include "generation/sampling.h"
#include "generation/token.h"
#include "runtime/decoder.h"
#include "text/tokenizer.h"

namespace onnxlocal {

struct SequenceTag;
/// One running generation, never reused within an engine.
using SequenceId = StrongId<SequenceTag, std::uint64_t>;

/// Asks the prefix cache to keep the first `tokens` of the prompt for a while.
struct PrefixPin {
  std::uint32_t tokens = 0;
  std::chrono::seconds ttl{300};
};

/// What the engine needs to know of one generation.
struct SequenceRequest {
  std::vector<TokenId> prompt;  ///< At least one token.
  SamplingOptions sampling;
  /// At least 1; clamped to the room that the slot has left. The last token needs none.
  std::uint32_t tokens_max = 0;
  std::vector<std::string> stop_strings;
  std::vector<TokenId> stop_tokens;  ///< Besides the model's own end tokens.
  bool ignore_end_tokens = false;    ///< For benches: goes on to `tokens_max`.
  bool use_prefix_cache = true;
  std::string cache_scope;
  /// What the output is held to; null where it is free. Destroyed on any thread.
  std::unique_ptr<TokenConstraint> constraint = nullptr;
  /// Special tokens whose content shows in the text (others have none): a model's own marks of
  /// thinking and calls.
  std::vector<TokenId> visible_tokens = {};
  /// A batch sequence runs where nothing live waits. It may lose its slot to a live one; it goes on
  /// later where it was.
  Priority priority = Priority::kLive;
  std::vector<PrefixPin> pins = {};
  std::string agent = {};  ///< See `GenerationRequest::agent`.
};

/// Who guesses tokens ahead, for the model to verify several in one step. What comes out is the
/// same, token by token.
enum class Speculation {
  kOff,
  kPromptLookup,  ///< What followed before in the same text.
  kDraftModel,    ///< A smaller model of the same vocabulary.
};
/// "off", "prompt-lookup" or "draft". Errors: invalid_request.
Result<Speculation> parse_speculation(std::string_view text);

/// Used where the decoder's steps are ragged: for others, more rows are not nearly free.
struct SpeculationOptions {
  Speculation kind = Speculation::kPromptLookup;
  std::uint32_t draft_tokens_max = 15;  ///< Guesses per sequence and step.
  bool measure_costs = true;  ///< Learn from steps' times what guesses cost; else from a table.
};

/// What the log says about each prompt and the prefix cache.
enum class ExplainCache {
  kOff,     ///< At level verbose alone.
  kReason,  ///< What was read, and why no more.
  kText,    ///< Also the prompt's text around the first difference.
};

/// Where prefixes survive a restart. Others who use the same folder at the same time share nothing.
struct DiskCacheOptions {
  std::filesystem::path folder;  ///< Empty: nowhere.
  std::uint64_t bytes_max = 0;   ///< 0: 4 GiB, and no more than a tenth of what is free.
  std::string model;             ///< Its name, for people; what counts is `cache_key`.
  BlockFileOpener open_file = open_block_file;
};

struct EngineOptions {
  std::vector<TokenId> end_tokens;  ///< End a turn; from the model's configuration.
  /// Prefill chunk between two decode steps; in a ragged step, prefill beside decoding rows.
  std::uint32_t chunk_tokens = 256;
  std::uint32_t queue_max = 64;        ///< Sequences that wait for a slot; one more is overloaded.
  std::uint32_t batch_queue_max = 64;  ///< The same for `Priority::kBatch`, counted apart.
  std::size_t kv_bytes_max = std::size_t{4} << 30;  ///< Keys and values of running sequences.
  std::size_t prefix_cache_bytes_max = std::size_t{1} << 30;  ///< 0 turns the cache off.
  std::string cache_key;  ///< Model hash: part of each prefix's key.
  /// For requests that name no seed; the system's randomness where empty.
  std::optional<std::uint64_t> random_seed;
  SpeculationOptions speculation;
  DiskCacheOptions disk_cache;
  ExplainCache explain_cache = ExplainCache::kOff;
  /// For pins' times.
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

/// A snapshot; its numbers belong together.
struct EngineStatus {
  std::uint32_t queued = 0;
  std::uint32_t queued_batch = 0;  ///< Of those, `Priority::kBatch`.
  std::uint32_t running = 0;
  std::uint32_t slots = 0;
  std::size_t kv_bytes_in_use = 0;
  std::size_t prefix_cache_bytes = 0;
  std::size_t prefix_cache_pinned_bytes = 0;  ///< Of those, pinned or an agent's last.
  std::uint64_t prefix_cache_evictions = 0;   ///< Blocks.
  std::uint64_t disk_cache_bytes = 0;
  std::uint64_t disk_cache_pinned_bytes = 0;  ///< Of those, pinned.
  std::uint64_t disk_cache_evictions = 0;     ///< Blocks.
  /// Tokens that were brought back from the disk; of `cached_tokens`, the others were in memory.
  std::uint64_t disk_cached_tokens = 0;
  std::uint64_t sequences_finished = 0;
  std::uint64_t sequences_cancelled = 0;
  std::uint64_t sequences_failed = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t generated_tokens = 0;
  std::uint64_t prefill_tokens = 0;  ///< Computed in prompts, again where they had to be.
  double prefill_seconds = 0;        ///< A step that does both is shared out by rows.
  std::uint64_t decode_tokens = 0;   ///< Generated, but for each answer's first.
  double decode_seconds = 0;
  std::uint64_t masks_late = 0;       ///< Came after the logits that they were for.
  std::uint64_t preemptions = 0;      ///< Batch sequences that lost their slots to live ones.
  std::uint64_t draft_tokens = 0;     ///< Guessed and verified.
  std::uint64_t accepted_tokens = 0;  ///< Of those, right.
  bool failed = false;  ///< The decoder failed in a way that it does not recover from.
};

/// Runs generations on one thread by continuous batching (Orca, Yu et al. 2022): drain messages,
/// plan a step, run it, deliver events. Any thread may call any method; events come on the engine's
/// own thread. The destructor cancels what runs and joins.
class Engine {
 public:
  /// `tokenizer` may be null: then deltas have tokens and no text, and stop strings are refused.
  /// `draft` is for `Speculation::kDraftModel` alone. Errors: invalid_request (limits that cannot
  /// be; a draft model that is missing, or does not fit).
  static Result<std::unique_ptr<Engine>> start(std::unique_ptr<Decoder> decoder,
                                               std::shared_ptr<const Tokenizer> tokenizer,
                                               EngineOptions options,
                                               std::unique_ptr<Decoder> draft = nullptr);
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
  /// While a prompt is being computed: what the cache gave of it so far, and what will be kept if
  /// it finds room. Empty before its first step and after its Started.
  std::optional<Usage> prompt_usage(SequenceId sequence) const;
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
