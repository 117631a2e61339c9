#pragma once

#include <memory>

#include "base/channel.h"
#include "base/deadline.h"
#include "generation/event.h"
#include "onnxlocal/model.h"
#include "provider/provider.h"

namespace onnxlocal::embed {

/// One generation, from the engine's thread to the caller's: events wait in a channel, so that a
/// slow callback holds nobody up. The destructor cancels.
class PendingReply {
 public:
  /// For the provider; may outlive this.
  EventSink sink();
  void set_active(ActiveGeneration active) { active_ = std::move(active); }

  /// Waits for the end. Errors: what the generation failed with; cancelled (by `on_text`); timeout.
  Result<Reply> collect(const TextCallback& on_text, Deadline deadline);

 private:
  using Events = Channel<GenerationEvent>;
  /// Bounded by the tokens of one generation.
  std::shared_ptr<Events> events_ = std::make_shared<Events>(static_cast<std::size_t>(-1));
  ActiveGeneration active_;
};

}  // namespace onnxlocal::embed
