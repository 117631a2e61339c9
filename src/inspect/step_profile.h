#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "inspect/measure.h"
#include "model/model_config.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// What one kind of kernel took in all steps together.
struct KernelTime {
  std::string kind;  ///< "product", "attention", "norm", ...
  std::uint64_t calls = 0;
  double milliseconds = 0;
};

/// Where the steps' time went.
struct StepProfile {
  std::uint64_t steps = 0;
  double milliseconds = 0;          ///< All steps, as their caller saw them.
  std::vector<KernelTime> kernels;  ///< Most time first; the last, "else", is what is in no kernel.
};

/// Reads the lines that the provider wrote. Errors: model_corrupt (a line that is none).
Result<std::vector<KernelTime>> parse_kernel_times(std::string_view lines);

enum class ProfiledSteps { kPrefill, kDecode };

/// Loads the model with its kernels timed and runs `options.repetitions` prompts, or decodes as
/// often; steps that only bring slots to `options.depth_tokens` do not count.
/// Errors: unsupported (no kernel of ours ran: another provider took the model), invalid_request
/// (it does not fit the context), those of `load_decoder`, cancelled.
Result<StepProfile> profile_steps(const ModelFolder& folder, RuntimeOptions runtime,
                                  const MeasureOptions& options, ProfiledSteps which,
                                  const std::stop_token& stop = {});

}  // namespace onnxlocal
