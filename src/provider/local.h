#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/engine.h"
#include "model/model_config.h"
#include "provider/prompt.h"
#include "provider/provider.h"
#include "runtime/decoder.h"
#include "runtime/runtime_options.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// A model whose parts are loaded already (tests make them from a fake decoder).
struct LocalParts {
  std::string name;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<Decoder> draft_decoder;  ///< For `Speculation::kDraftModel`, else null.
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;  ///< Null: "role: text", see PromptBuilder.
  /// Whether llguidance can use the tokenizer, where somebody finds it out already.
  std::shared_future<bool> takes_grammars;
  std::optional<TokenId> bos_token;  ///< Begins a prompt where there is no chat template.
  std::optional<bool> adds_bos;      ///< Whether it begins a text; empty where nothing says so.
  SamplingDefaults sampling;
  std::chrono::sys_seconds created_at{};
  std::string execution_provider;
  std::vector<std::string> warnings;
};

/// Answers with a model on this machine. While it loads, requests get `unavailable`; if loading
/// fails, they get the cause. Any thread may call any method; the destructor shuts down at once.
///
/// Life of a request: the messages become tokens (chat template, tokenizer; a reply of ours in the
/// history becomes the very tokens that were generated), the engine queues them, and its events go
/// to the sink from the engine's thread.
class LocalProvider final : public Provider {
 public:
  /// Starts to load on a thread of its own and returns at once. `engine.end_tokens` and
  /// `engine.cache_key` are taken from the model where they are empty. `draft` is the model that
  /// guesses for `Speculation::kDraftModel`; where the execution provider cannot verify guesses, it
  /// is not loaded, and a warning says so. `progress` is told of long steps, on that thread.
  static std::unique_ptr<LocalProvider> load(ModelFolder folder, RuntimeOptions runtime,
                                             EngineOptions engine,
                                             std::optional<ModelFolder> draft = std::nullopt,
                                             ProgressSink progress = {});
  static Result<std::unique_ptr<LocalProvider>> from_parts(LocalParts parts, EngineOptions engine);

  ~LocalProvider() override;
  LocalProvider(const LocalProvider&) = delete;
  LocalProvider& operator=(const LocalProvider&) = delete;

  Result<ActiveGeneration> generate(const GenerationRequest& request, EventSink sink) override;
  Result<std::uint32_t> count_tokens(const GenerationRequest& request) override;
  Result<std::string> detokenize(std::span<const TokenId> tokens) const override;
  std::vector<ModelInfo> models() const override;
  ProviderStatus status() const override;
  void shut_down(Deadline deadline) override;

  /// Waits until the model is loaded. Errors: why it failed; timeout.
  Result<void> wait_until_loaded(Deadline deadline = {}) const;

  /// For programs that bring their own tokens: no template, and stop strings still hold.
  Result<ActiveGeneration> generate_from_tokens(SequenceRequest request, EventSink sink);
  /// The prompt's tokens, as `generate` would make them.
  Result<std::vector<TokenId>> tokenize(const GenerationRequest& request);
  /// The loaded model's limits. Errors: as `generate`.
  Result<DecoderLimits> limits() const;

 private:
  /// All of a loaded model. Generations that run keep it alive.
  struct Loaded;
  using Handle = std::shared_ptr<Loaded>;

  explicit LocalProvider(std::string name);
  /// What `load` was asked for.
  struct LoadOrder {
    ModelFolder folder;
    std::optional<ModelFolder> draft;
    RuntimeOptions runtime;
    EngineOptions engine;
    ProgressSink progress;
  };
  void load_on_this_thread(LoadOrder order, const std::stop_token& stop);
  static Result<ActiveGeneration> continue_raw(const Handle& loaded,
                                               const GenerationRequest& request, EventSink sink);
  static Result<Handle> start(LocalParts parts, EngineOptions engine);
  void set_loaded(Result<Handle> loaded);
  Result<Handle> handle() const;

  // Constant after construction.
  const std::string name_;
  ModelInfo info_while_loading_;

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  mutable std::condition_variable loaded_or_failed_;
  Result<Handle> loaded_;  ///< Null while loading.

  std::once_flag shut_down_once_;
  std::jthread loader_;  ///< Last: it uses what stands above.
};

}  // namespace onnxlocal
