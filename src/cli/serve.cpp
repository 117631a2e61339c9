#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/program.h"
#include "cli/progress.h"
#include "cli/serve_banner.h"
#include "provider/local.h"
#include "server/server.h"

namespace onnxlocal {}  // namespace onnxlocal
