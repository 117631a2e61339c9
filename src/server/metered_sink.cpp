#include "server/metered_sink.h"

#include <algorithm>
#include <utility>

namespace onnxlocal {

namespace {

class MeteredSink {
 public:
  MeteredSink(EventSink sink, std::shared_ptr<Metrics> metrics, Admission::Charge charge)
      : sink_(std::move(sink)), seen_(std::move(metrics)), charge_(std::move(charge)) {}

  void operator()(GenerationEvent event) {
    seen_.see(event);
    if (charge_) charge_for(event);
    sink_(std::move(event));
  }

 private:
  void charge_for(const GenerationEvent& event) {
    if (const auto* started = std::get_if<GenerationStarted>(&event)) {
      charge_(started->usage.input_tokens + started->usage.cache_creation_tokens, 0);
    } else if (const auto* delta = std::get_if<GenerationDelta>(&event)) {
      output_tokens_ += static_cast<std::uint32_t>(std::max<std::size_t>(1, delta->tokens.size()));
    } else if (const auto* finished = std::get_if<GenerationFinished>(&event)) {
      charge_(0, finished->usage.output_tokens);
    } else if (std::holds_alternative<GenerationFailed>(event)) {
      charge_(0, output_tokens_);
    }
  }

  EventSink sink_;
  Metrics::Generation seen_;
  Admission::Charge charge_;
  std::uint32_t output_tokens_ = 0;
};

}  // namespace

EventSink metered(EventSink sink, std::shared_ptr<Metrics> metrics, Admission::Charge charge) {
  return MeteredSink(std::move(sink), std::move(metrics), std::move(charge));
}

}  // namespace onnxlocal
