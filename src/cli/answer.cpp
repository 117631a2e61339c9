#include "cli/answer.h"

#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <variant>

#include "base/channel.h"

namespace onnxlocal {

namespace {

using Clock = std::chrono::steady_clock;

struct Interrupted {};
using News = std::variant<GenerationEvent, Interrupted>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Turns events into an `Answer`, one at a time.
class Listener {
 public:
  explicit Listener(const std::function<void(std::string_view)>& on_text) : on_text_(on_text) {}

  /// Empty until the last event.
  std::optional<Result<Answer>> take(GenerationEvent event) {
    if (auto* started = std::get_if<GenerationStarted>(&event)) {
      answer_.usage = started->usage;
    } else if (auto* delta = std::get_if<GenerationDelta>(&event)) {
      if (!delta->text.empty() && answer_.text.empty()) {
        answer_.first_token_s = seconds_since(start_);
      }
      answer_.text += delta->text;
      if (!delta->text.empty() && !was_interrupted_) on_text_(delta->text);
    } else if (auto* finished = std::get_if<GenerationFinished>(&event)) {
      answer_.usage = finished->usage;
      answer_.reason = finished->reason;
      return close();
    } else if (auto* failed = std::get_if<GenerationFailed>(&event)) {
      if (!was_interrupted_) return Result<Answer>(std::unexpected(std::move(failed->error)));
      return close();
    }
    return std::nullopt;
  }

  void interrupt() { was_interrupted_ = true; }

 private:
  Result<Answer> close() {
    answer_.total_s = seconds_since(start_);
    answer_.was_interrupted = was_interrupted_;
    return std::move(answer_);
  }

  const std::function<void(std::string_view)>& on_text_;
  const Clock::time_point start_ = Clock::now();
  Answer answer_;
  bool was_interrupted_ = false;
};

}  // namespace

double Answer::decode_tokens_per_s() const {
  const double seconds = total_s - first_token_s;
  if (usage.output_tokens < 2 || seconds <= 0) return 0;
  return (usage.output_tokens - 1) / seconds;
}

Result<Answer> generate_answer(Provider& provider, const GenerationRequest& request,
                               Interrupts& interrupts,
                               const std::function<void(std::string_view)>& on_text) {
  // Shared with the sink, which the engine may keep a little longer than this call. Unbounded: the
  // answer's own length bounds it.
  const auto channel = std::make_shared<Channel<News>>(std::numeric_limits<std::size_t>::max());
  const Interrupts::Handler handler(interrupts, [channel] { channel->push(News(Interrupted{})); });
  Listener listener(on_text);
  TRY(ActiveGeneration active, provider.generate(request, [channel](GenerationEvent event) {
    channel->push(News(std::move(event)));
  }));
  for (;;) {
    auto news = channel->pop();
    if (!news) return std::unexpected(internal_error("the answer ended without an end"));
    if (std::holds_alternative<Interrupted>(*news)) {
      listener.interrupt();
      active.cancel();
      continue;
    }
    if (auto end = listener.take(std::get<GenerationEvent>(std::move(*news)))) {
      return *std::move(end);
    }
  }
}

}  // namespace onnxlocal
