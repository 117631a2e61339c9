#pragma once

#include <chrono>

#include "provider/provider.h"
#include "server/metrics.h"
#include "server/router.h"

namespace onnxlocal {

/// GET /health: 200 where requests are answered; 503 while the model loads, or where it failed,
/// with the reason. Fields: docs/api.md.
Reply report_health(const Provider& provider, std::chrono::steady_clock::time_point started);

/// GET /ready: 200 where the model is loaded and has generated once, so that the next request is as
/// fast as any; 503 before.
Reply report_ready(const Provider& provider, const RequestContext& context);

/// GET /metrics, in Prometheus' text format.
Reply report_metrics(const Provider& provider, const Metrics& metrics);

/// GET / and /api/hello, which clients ask to see whether somebody is there.
Reply say_hello();

}  // namespace onnxlocal
