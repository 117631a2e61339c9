#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "provider/provider.h"

namespace onnxlocal {

/// A provider without a model: each generation gets the scripted events, or is held so that the
/// test emits them. Any thread.
class ScriptedProvider : public Provider {
 public:
  /// One generation that was accepted.
  class Running {
   public:
    Running(GenerationRequest request, EventSink sink)
        : request_(std::move(request)), sink_(std::move(sink)) {}

    const GenerationRequest& request() const { return request_; }
    /// Nothing goes out after a last event.
    void emit(GenerationEvent event);
    void emit_text(std::string text) {
      emit(GenerationDelta{.text = std::move(text), .tokens = {}});
    }
    void cancel();
    /// True once the generation was cancelled from outside; false at the deadline.
    bool wait_until_cancelled(Deadline deadline);

   private:
    const GenerationRequest request_;
    std::mutex mutex_;
    std::condition_variable changed_;
    EventSink sink_;             // Guarded by mutex_.
    bool is_cancelled_ = false;  // Guarded by mutex_.
  };

  ScriptedProvider();

  /// What every later generation gets at once; nothing holds them.
  void set_script(std::vector<GenerationEvent> events);
  /// Every later `generate` and `count_tokens` fails with it.
  void refuse_with(std::optional<Error> error);
  void set_status(ProviderStatus status);
  /// What every later generation says of its prompt while nothing has come.
  void set_prompt_usage(std::optional<Usage> usage);

  /// The generation of this number (from 0), once it is there; null at the deadline.
  std::shared_ptr<Running> wait_for(std::size_t index, Deadline deadline);

  Result<ActiveGeneration> generate(const GenerationRequest& request, EventSink sink) override;
  /// The bytes of all text: easy to know in a test.
  Result<std::uint32_t> count_tokens(const GenerationRequest& request) override;
  /// Each token is the character of its number.
  Result<std::string> detokenize(std::span<const TokenId> tokens) const override;
  std::vector<ModelInfo> models() const override;
  ProviderStatus status() const override;
  void shut_down(Deadline deadline) override;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<GenerationEvent> script_;  // These are guarded by mutex_.
  std::optional<Error> refusal_;
  ProviderStatus status_;
  std::optional<Usage> prompt_usage_;
  std::vector<std::shared_ptr<Running>> generations_;
};

/// Started, one delta per text, Finished: an answer of `texts.size()` tokens to a prompt of 10.
std::vector<GenerationEvent> scripted_answer(const std::vector<std::string>& texts,
                                             StopReason reason = StopReason::kEndOfTurn);

}  // namespace onnxlocal
