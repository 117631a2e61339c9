#include "cli/bench_profile.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "inspect/step_profile.h"

namespace onnxlocal {

namespace {

double share_of(const StepProfile& profile, const KernelTime& time) {
  return profile.milliseconds > 0 ? time.milliseconds / profile.milliseconds : 0;
}

void add_rows(std::string_view what, const StepProfile& profile,
              std::vector<std::vector<std::string>>& rows) {
  const auto steps = static_cast<double>(std::max<std::uint64_t>(profile.steps, 1));
  const auto row = [&](const KernelTime& time) {
    rows.push_back({std::string(what), time.kind,
                    fmt::format("{:.1f}", static_cast<double>(time.calls) / steps),
                    fmt::format("{:.3f} ms", time.milliseconds / steps),
                    fmt::format("{:.1f} %", 100 * share_of(profile, time))});
  };
  for (const KernelTime& time : profile.kernels) row(time);
  row({.kind = "all", .calls = profile.steps, .milliseconds = profile.milliseconds});
}

json::object to_json_object(const StepProfile& profile) {
  json::array kernels;
  for (const KernelTime& time : profile.kernels) {
    kernels.push_back(json::object{{"kind", time.kind},
                                   {"calls", time.calls},
                                   {"ms", time.milliseconds},
                                   {"share", share_of(profile, time)}});
  }
  return {{"steps", profile.steps}, {"ms", profile.milliseconds}, {"kernels", std::move(kernels)}};
}

}  // namespace

Result<ExitCode> run_profile_bench(const std::string& model, const MeasureOptions& measure,
                                   bool is_json, const CommandContext& context) {
  Interrupts interrupts;
  ProgressBar bar;
  TRY(const ModelFolder folder, context.store.resolve(model, interrupts.stop_token(), bar.sink()));
  bar.clear();
  std::vector<std::vector<std::string>> rows = {
      {"STEPS", "KERNEL", "CALLS PER STEP", "TIME PER STEP", "SHARE"}};
  json::object figures;
  const auto profile = [&](std::string_view what, ProfiledSteps which) -> Result<void> {
    TRY(const StepProfile steps,
        profile_steps(folder, runtime_options(context), measure, which, interrupts.stop_token()));
    add_rows(what, steps, rows);
    figures[what] = to_json_object(steps);
    return {};
  };
  if (measure.prompt_tokens > 0) TRY_VOID(profile("prefill", ProfiledSteps::kPrefill));
  if (measure.generate_tokens > 0) TRY_VOID(profile("decode", ProfiledSteps::kDecode));
  if (is_json) {
    print_json(figures);
  } else {
    fmt::print("{}", table(rows));
  }
  return ExitCode::kOk;
}

}  // namespace onnxlocal
