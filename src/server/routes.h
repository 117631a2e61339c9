#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "provider/provider.h"
#include "server/router.h"

namespace onnxlocal {

/// Every path that the server answers.
std::vector<Route> make_routes(std::shared_ptr<Provider> provider,
                               std::chrono::steady_clock::time_point started);

}  // namespace onnxlocal
