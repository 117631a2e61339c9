#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "generation/event.h"
#include "generation/request.h"
#include "generation/token.h"

namespace onnxlocal {

/// A model that a provider offers.
struct ModelInfo {
  std::string id;  ///< "onnx-local/NAME".
  std::string display_name;
  std::chrono::sys_seconds created_at;
  std::uint32_t context_tokens = 0;  ///< Most prompt tokens: one of an answer fits behind them.
  std::uint32_t tokens_max = 0;      ///< Most output tokens.
  bool can_think = false;            ///< Others take requests to think, and simply answer.
  bool calls_tools = false;          ///< Its replies can be held to calls.
  bool structured_outputs = false;   ///< And to a schema.
};

/// How a provider is doing, for /health and /metrics. What it does not know is 0.
struct ProviderStatus {
  enum class State { kLoading, kReady, kFailed };
  State state = State::kLoading;
  std::string model;               ///< Its id.
  std::string execution_provider;  ///< "cpu", "cuda"; empty until ready.
  std::vector<std::string> warnings;
  Error failure;  ///< Why, for kFailed.
  std::uint32_t queued = 0;
  std::uint32_t queued_batch = 0;  ///< Of those, `Priority::kBatch`.
  std::uint32_t running = 0;
  std::uint32_t slots = 0;
  std::size_t kv_bytes_in_use = 0;
  std::size_t prefix_cache_bytes = 0;
  std::size_t prefix_cache_pinned_bytes = 0;  ///< Of those, pinned or an agent's last.
  std::uint64_t prefix_cache_evictions = 0;   ///< Blocks, since the start, as all below.
  std::uint64_t disk_cache_bytes = 0;
  std::uint64_t disk_cache_pinned_bytes = 0;
  std::uint64_t disk_cache_evictions = 0;
  std::uint64_t disk_cached_tokens = 0;  ///< Brought back from the disk.
  std::uint64_t prefill_tokens = 0;      ///< Computed in prompts.
  double prefill_seconds = 0;            ///< Of computing alone.
  std::uint64_t decode_tokens = 0;       ///< Generated, but for each answer's first.
  double decode_seconds = 0;
  std::uint64_t draft_tokens = 0;     ///< Guessed and verified.
  std::uint64_t accepted_tokens = 0;  ///< Of those, right.
  std::uint64_t masks_late = 0;       ///< Came after the logits that they were for.
  std::uint64_t preemptions = 0;      ///< Batch sequences that lost their slots to live ones.
};

/// A generation that was accepted. Destroying it cancels what still runs; cancelling twice, or
/// after the end, does nothing.
class ActiveGeneration {
 public:
  using PromptUsage = std::function<std::optional<Usage>()>;
  ActiveGeneration() = default;
  explicit ActiveGeneration(std::move_only_function<void()> cancel,
                            PromptUsage prompt_usage = nullptr)
      : cancel_(std::move(cancel)), prompt_usage_(std::move(prompt_usage)) {}
  ~ActiveGeneration() { cancel(); }
  ActiveGeneration(ActiveGeneration&& other) noexcept
      : cancel_(std::exchange(other.cancel_, nullptr)),
        prompt_usage_(std::exchange(other.prompt_usage_, nullptr)) {}
  ActiveGeneration& operator=(ActiveGeneration&& other) noexcept {
    if (this != &other) {
      cancel();
      cancel_ = std::exchange(other.cancel_, nullptr);
      prompt_usage_ = std::exchange(other.prompt_usage_, nullptr);
    }
    return *this;
  }

  /// While the prompt is being computed: what the cache gave of it, and what is expected of the
  /// rest. Empty before and after, and where the provider cannot tell.
  std::optional<Usage> prompt_usage() const {
    return prompt_usage_ ? prompt_usage_() : std::nullopt;
  }

  void cancel() {
    prompt_usage_ = nullptr;
    if (auto cancel = std::exchange(cancel_, nullptr)) cancel();
  }

 private:
  std::move_only_function<void()> cancel_;
  PromptUsage prompt_usage_;
};

/// Maps requests to events; knows no HTTP. Any thread may call any method.
class Provider {
 public:
  virtual ~Provider() = default;

  /// Renders, tokenizes and queues; may take milliseconds, so not on a network thread. Errors come
  /// back here where they are known before the first token (then `sink` is never called).
  virtual Result<ActiveGeneration> generate(const GenerationRequest& request, EventSink sink) = 0;

  /// Prompt tokens that `generate` would report for the same request.
  virtual Result<std::uint32_t> count_tokens(const GenerationRequest& request) = 0;

  /// The text of tokens, special ones left out, ill-formed bytes as U+FFFD. Errors:
  /// invalid_request (no such token), unavailable (the model is not there), unsupported (this
  /// provider has no tokens of its own).
  virtual Result<std::string> detokenize(std::span<const TokenId> /*tokens*/) const {
    return std::unexpected(unsupported("this provider tells no token's text"));
  }

  virtual std::vector<ModelInfo> models() const = 0;
  virtual ProviderStatus status() const = 0;

  /// Refuses new work, waits for what runs until the deadline, cancels the rest.
  virtual void shut_down(Deadline deadline) = 0;
};

}  // namespace onnxlocal
