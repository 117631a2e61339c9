#include "server/merged_answers.h"

#include <mutex>
#include <utility>

namespace onnxlocal {

namespace {

class Merger {
 public:
  Merger(EventSink sink, std::shared_ptr<openai::AnswerLog> log, std::uint32_t count)
      : sink_(std::move(sink)), log_(std::move(log)), running_(count) {}

  void take(std::uint32_t answer, GenerationEvent event) {
    const std::scoped_lock lock(mutex_);
    if (has_ended_) return;
    log_->add(answer, event);
    if (auto* finished = std::get_if<GenerationFinished>(&event)) {
      output_tokens_ += finished->usage.output_tokens;
      has_ended_ = --running_ == 0;
      if (!has_ended_) return;
      finished->usage.output_tokens = output_tokens_;
    }
    has_ended_ = has_ended_ || std::holds_alternative<GenerationFailed>(event);
    sink_(std::move(event));
  }

 private:
  std::mutex mutex_;
  EventSink sink_;  // These are guarded by mutex_.
  const std::shared_ptr<openai::AnswerLog> log_;
  std::uint32_t running_;
  std::uint32_t output_tokens_ = 0;
  bool has_ended_ = false;
};

}  // namespace

std::vector<EventSink> merge_answers(EventSink sink, std::shared_ptr<openai::AnswerLog> log,
                                     std::uint32_t count) {
  const auto merger = std::make_shared<Merger>(std::move(sink), std::move(log), count);
  std::vector<EventSink> sinks;
  for (std::uint32_t answer = 0; answer < count; ++answer) {
    sinks.emplace_back(
        [merger, answer](GenerationEvent event) { merger->take(answer, std::move(event)); });
  }
  return sinks;
}

}  // namespace onnxlocal
