#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "server/addressing.h"
#include "server/batches/batch_runner.h"
#include "server/metrics.h"
#include "server/router.h"

namespace onnxlocal {

/// What the handlers work with.
struct RouteParts {
  Models models;
  std::shared_ptr<Metrics> metrics;
  std::shared_ptr<BatchRunner> batches;  ///< Null: there are none.
  std::chrono::steady_clock::time_point started;
};

/// Every path that the server answers.
std::vector<Route> make_routes(const RouteParts& parts);

}  // namespace onnxlocal
