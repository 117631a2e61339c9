#pragma once

#include <memory>
#include <vector>

#include "server/limits.h"
#include "server/metrics.h"
#include "server/middleware/gate.h"
#include "server/middleware/rate_limits.h"
#include "server/middleware/request_id.h"
#include "server/router.h"
#include "server/worker_pool.h"

namespace onnxlocal {

/// What all sessions of a server share. Outlives them.
struct SessionServices {
  const ServerLimits& limits;
  const std::vector<Route>& routes;
  WorkerPool& workers;
  IdGenerator& ids;
  Gate& gate;
  RateLimiter& rate_limiter;
  std::shared_ptr<Metrics> metrics;
};

}  // namespace onnxlocal
