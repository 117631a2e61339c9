#pragma once

#include <string>

#include "base/result.h"
#include "cli/program.h"
#include "inspect/measure.h"

namespace onnxlocal {

/// `bench --profile`: where a step's time goes, kernel by kernel.
/// Errors: those of `profile_steps` and of finding the model.
Result<ExitCode> run_profile_bench(const std::string& model, const MeasureOptions& measure,
                                   bool is_json, const CommandContext& context);

}  // namespace onnxlocal
