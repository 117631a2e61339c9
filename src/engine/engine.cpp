#include "engine/engine.h"

#include <thread>
#include <utility>

#include "engine/loop.h"

namespace onnxlocal {

class Engine::Loop {
 public:
  Loop(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Tokenizer> tokenizer,
       EngineOptions options)
      : steps(std::move(decoder), std::move(tokenizer), std::move(options)),
        thread([this] { steps.run(); }) {}

  EngineLoop steps;
  std::thread thread;  ///< Last: it uses what stands above.
};

Engine::Engine(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

Result<std::unique_ptr<Engine>> Engine::start(std::unique_ptr<Decoder> decoder,
                                              std::shared_ptr<const Tokenizer> tokenizer,
                                              EngineOptions options) {
  if (!decoder) return std::unexpected(invalid_request("the engine needs a decoder"));
  const DecoderLimits& limits = decoder->limits();
  if (limits.slots == 0 || limits.slot_tokens_max < 2 || limits.vocabulary_size == 0) {
    return std::unexpected(
        invalid_request("the decoder has no slot, no vocabulary, or no room for two tokens"));
  }
  auto loop = std::make_unique<Loop>(std::move(decoder), std::move(tokenizer), std::move(options));
  return std::unique_ptr<Engine>(new Engine(std::move(loop)));
}

Engine::~Engine() {
  if (loop_->thread.joinable()) shut_down(Deadline::after(Deadline::Clock::duration::zero()));
}

Result<SequenceId> Engine::submit(SequenceRequest request, EventSink sink) {
  return loop_->steps.submit(std::move(request), std::move(sink));
}

void Engine::cancel(SequenceId sequence) { loop_->steps.cancel(sequence); }

EngineStatus Engine::status() const { return loop_->steps.status(); }

const DecoderLimits& Engine::limits() const { return loop_->steps.limits(); }

bool Engine::shut_down(Deadline deadline) {
  loop_->steps.begin_shut_down(deadline);
  loop_->thread.join();
  return !loop_->steps.cancelled_at_shut_down();
}

}  // namespace onnxlocal
