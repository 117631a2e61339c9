#include "engine/engine.h"

#include <thread>
#include <utility>

#include <fmt/format.h>

#include "engine/loop.h"

namespace onnxlocal {

class Engine::Loop {
 public:
  Loop(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Tokenizer> tokenizer,
       EngineOptions options, std::unique_ptr<Drafter> drafter)
      : steps(std::move(decoder), std::move(tokenizer), std::move(options), std::move(drafter)),
        thread([this] { steps.run(); }) {}

  EngineLoop steps;
  std::thread thread;  ///< Last: it uses what stands above.
};

namespace {

Result<void> check_limits(const DecoderLimits& limits) {
  if (limits.slots == 0 || limits.slot_tokens_max < 2 || limits.vocabulary_size == 0) {
    return std::unexpected(
        invalid_request("the decoder has no slot, no vocabulary, or no room for two tokens"));
  }
  if (limits.mixing == StepMixing::kRagged && limits.chunk_tokens_max < limits.slots) {
    return std::unexpected(invalid_request("the decoder's steps have no room for all its slots"));
  }
  return {};
}

Result<std::unique_ptr<Drafter>> make_drafter(Speculation kind, const DecoderLimits& limits,
                                              std::unique_ptr<Decoder> draft) {
  if (kind == Speculation::kDraftModel && !draft) {
    return std::unexpected(invalid_request("speculation by a draft model needs a draft model"));
  }
  if (kind == Speculation::kOff || limits.mixing != StepMixing::kRagged) return nullptr;
  if (kind == Speculation::kDraftModel) return make_draft_model(std::move(draft), limits);
  return make_prompt_lookup(limits.slots);
}

}  // namespace

Result<Speculation> parse_speculation(std::string_view text) {
  if (text == "off") return Speculation::kOff;
  if (text == "prompt-lookup") return Speculation::kPromptLookup;
  if (text == "draft") return Speculation::kDraftModel;
  return std::unexpected(invalid_request(
      fmt::format("\"{}\" is no kind of speculation; expected off, prompt-lookup or draft", text)));
}

Engine::Engine(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

Result<std::unique_ptr<Engine>> Engine::start(std::unique_ptr<Decoder> decoder,
                                              std::shared_ptr<const Tokenizer> tokenizer,
                                              EngineOptions options,
                                              std::unique_ptr<Decoder> draft) {
  if (!decoder) return std::unexpected(invalid_request("the engine needs a decoder"));
  const DecoderLimits& limits = decoder->limits();
  TRY_VOID(check_limits(limits));
  TRY(auto drafter, make_drafter(options.speculation.kind, limits, std::move(draft)));
  auto loop = std::make_unique<Loop>(std::move(decoder), std::move(tokenizer), std::move(options),
                                     std::move(drafter));
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

std::optional<Usage> Engine::prompt_usage(SequenceId sequence) const {
  return loop_->steps.prompt_usage(sequence);
}

const DecoderLimits& Engine::limits() const { return loop_->steps.limits(); }

bool Engine::shut_down(Deadline deadline) {
  loop_->steps.begin_shut_down(deadline);
  loop_->thread.join();
  return !loop_->steps.cancelled_at_shut_down();
}

}  // namespace onnxlocal
