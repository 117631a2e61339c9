#include "provider/warm_up.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>

#include "base/log.h"

namespace onnxlocal {

namespace {

struct State {
  std::mutex mutex;
  std::condition_variable_any changed;
  bool has_ended = false;  // Guarded by mutex.
};

}  // namespace

void warm_up(Engine& engine, const std::stop_token& stop) {
  SequenceRequest request;
  // Any token will do. Two: one of a prompt, one of an answer.
  request.prompt = {0};
  request.sampling.temperature = 0;
  request.tokens_max = 2;
  request.ignore_end_tokens = true;
  request.use_prefix_cache = false;
  const auto state = std::make_shared<State>();
  const auto id = engine.submit(std::move(request), [state](GenerationEvent event) {
    const bool is_last = std::holds_alternative<GenerationFinished>(event) ||
                         std::holds_alternative<GenerationFailed>(event);
    if (!is_last) return;
    if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
      LOG_WARNING("the first generation failed: {}", describe(failed->error));
    }
    const std::scoped_lock lock(state->mutex);
    state->has_ended = true;
    state->changed.notify_all();
  });
  if (!id) {
    LOG_WARNING("the first generation was refused: {}", describe(id.error()));
    return;
  }
  std::unique_lock lock(state->mutex);
  const bool has_ended = state->changed.wait(lock, stop, [&state] { return state->has_ended; });
  lock.unlock();
  if (!has_ended) engine.cancel(*id);
}

}  // namespace onnxlocal
