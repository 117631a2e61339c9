#pragma once

#include <chrono>

#include "provider/provider.h"
#include "server/router.h"

namespace onnxlocal {

/// GET /health: 200 where requests are answered; 503 while the model loads, or where it failed,
/// with the reason. Fields: docs/api.md.
Reply report_health(const Provider& provider, std::chrono::steady_clock::time_point started);

/// GET / and /api/hello, which clients ask to see whether somebody is there.
Reply say_hello();

}  // namespace onnxlocal
