#pragma once

#include <string>

#include "base/result.h"
#include "cli/program.h"
#include "inspect/measure.h"

namespace onnxlocal {

/// `bench --speculation`. `what` is "recorded=FILE" or "acceptance=P".
/// Errors: invalid_request, unsupported, those of loading and reading.
Result<ExitCode> run_speculation_bench(const std::string& what, const std::string& model,
                                       const MeasureOptions& measure, bool is_json,
                                       const CommandContext& context);

}  // namespace onnxlocal
