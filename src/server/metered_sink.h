#pragma once

#include <memory>

#include "generation/event.h"
#include "server/metrics.h"
#include "server/middleware/rate_limits.h"

namespace onnxlocal {

/// Passes events on; the metrics see them, and the key is charged for their tokens: the prompt's
/// that were computed at the start, the answer's at the end, or what came of it where it was cut.
EventSink metered(EventSink sink, std::shared_ptr<Metrics> metrics, Admission::Charge charge);

}  // namespace onnxlocal
