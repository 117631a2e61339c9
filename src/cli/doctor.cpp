#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "base/environment.h"
#include "base/file_system.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "runtime/model_session.h"

namespace onnxlocal {

namespace {

enum class CheckState { kOk, kWarning, kProblem };

std::string_view to_string(CheckState state) {
  switch (state) {
    case CheckState::kOk: return "ok";
    case CheckState::kWarning: return "warning";
    case CheckState::kProblem: return "problem";
  }
  return "problem";
}

struct Check {
  std::string name;
  CheckState state = CheckState::kOk;
  std::string detail;
  std::string hint;
};

Check failed_check(std::string name, const Error& error, CheckState state = CheckState::kProblem) {
  return {std::move(name), state, error.message, error.hint};
}

/// Less than this, and the next import or sidecar will not fit.
constexpr std::uint64_t kFreeDiskBytesMin = std::uint64_t{1} << 30;

void check_machine(std::vector<Check>& checks) {
  const ProcessorInfo processor = processor_info();
  checks.push_back({"processor", CheckState::kOk,
                    fmt::format("{} ({})", processor.name, fmt::join(processor.features, " ")),
                    ""});
  checks.push_back({"cores", CheckState::kOk,
                    fmt::format("{} physical cores may be used, {} processors in the machine",
                                usable_physical_cores(), logical_processors()),
                    ""});
  checks.push_back({"memory", CheckState::kOk,
                    fmt::format("{} may be used of {}", human_bytes(usable_memory_bytes()),
                                human_bytes(machine_memory_bytes())),
                    ""});
}

void check_runtime(const Settings& settings, std::vector<Check>& checks) {
  checks.push_back({"ONNX Runtime", CheckState::kOk, onnxruntime_version(), ""});
  for (const ExecutionProviderInfo& provider :
       list_execution_providers(settings.runtime.execution_providers)) {
    checks.push_back({"provider " + provider.name, CheckState::kOk,
                      fmt::format("{}{}{}", provider.available ? "available" : "not available",
                                  provider.detail.empty() ? "" : ": ", provider.detail),
                      ""});
  }
}

void check_folder(const char* name, const std::filesystem::path& folder,
                  std::vector<Check>& checks) {
  if (!is_writable(folder)) {
    checks.push_back({name, CheckState::kProblem,
                      fmt::format("{} cannot be written", folder.string()),
                      "Set ONNX_LOCAL_HOME to a folder that can be written."});
    return;
  }
  const auto free_bytes = free_disk_bytes(folder);
  if (!free_bytes) {
    checks.push_back(failed_check(name, free_bytes.error()));
    return;
  }
  const bool is_low = *free_bytes < kFreeDiskBytesMin;
  checks.push_back({name, is_low ? CheckState::kWarning : CheckState::kOk,
                    fmt::format("{} ({} free)", folder.string(), human_bytes(*free_bytes)),
                    is_low ? "Free some space before the next import." : ""});
}

/// The models: sizes always, hashes with `--full`.
Result<void> check_models(const ModelStore& store, bool is_full, const std::stop_token& stop,
                          std::vector<Check>& checks) {
  ProgressBar bar;
  for (const StoredModel& model : store.list()) {
    std::string problem = model.problem;
    if (problem.empty() && is_full) {
      const auto sound =
          verify_files(model.path, model.manifest, /*check_hashes=*/true, stop, bar.sink());
      if (!sound && sound.error().code == ErrorCode::kCancelled) {
        return std::unexpected(sound.error());
      }
      if (!sound) problem = sound.error().message;
    }
    bar.clear();
    if (problem.empty()) {
      checks.push_back({"model " + model.name, CheckState::kOk,
                        fmt::format("{}, {} agree", human_bytes(model.size_bytes),
                                    is_full ? "sizes and hashes" : "sizes"),
                        ""});
    } else {
      checks.push_back({"model " + model.name, CheckState::kProblem, problem,
                        "Import it again: onnx-local import FILE.gguf --name " + model.name});
    }
  }
  return {};
}

void check_chosen_model(const CommandContext& context, std::vector<Check>& checks) {
  const std::string& wanted = context.settings.model;
  // Resolving a GGUF file would import it; a doctor changes nothing.
  if (wanted.ends_with(".gguf")) {
    checks.push_back({"default model", CheckState::kOk, wanted, ""});
    return;
  }
  const auto folder = context.store.resolve(wanted);
  if (!folder) {
    checks.push_back(failed_check("default model", folder.error()));
    return;
  }
  const StoredModel model = read_stored_model(folder->path);
  const bool fits = model.size_bytes * 2 < usable_memory_bytes();
  checks.push_back({"default model", fits ? CheckState::kOk : CheckState::kWarning,
                    fmt::format("{} ({})", folder->name, human_bytes(model.size_bytes)),
                    fits ? "" : "It may not fit the memory that this process may use."});
}

void check_port(const Settings& settings, std::vector<Check>& checks) {
  const std::string address = fmt::format("{}:{}", settings.host, settings.port);
  const auto state = probe_port(settings.host, settings.port);
  if (!state) {
    checks.push_back(failed_check("port", state.error()));
  } else if (*state == PortState::kFree) {
    checks.push_back({"port", CheckState::kOk, address + " is free", ""});
  } else {
    checks.push_back({"port", CheckState::kWarning, address + " is in use",
                      "An onnx-local that serves already, or another program: ONNX_PROXY_PORT or "
                      "--port chooses another one."});
  }
}

json::object to_json_object(const std::vector<Check>& checks, const Settings& settings,
                            bool is_sound) {
  json::array list;
  for (const Check& check : checks) {
    list.push_back(json::object{{"name", check.name},
                                {"status", to_string(check.state)},
                                {"detail", check.detail},
                                {"hint", check.hint}});
  }
  json::array resolved;
  for (const ResolvedSetting& setting : settings.resolved) {
    resolved.push_back(
        json::object{{"key", setting.key}, {"value", setting.value}, {"origin", setting.origin}});
  }
  return {{"ok", is_sound},
          {"version", ONNXLOCAL_VERSION},
          {"checks", std::move(list)},
          {"settings", std::move(resolved)}};
}

void print_text(const std::vector<Check>& checks, const Settings& settings, bool is_sound) {
  std::vector<std::vector<std::string>> rows;
  for (const Check& check : checks) {
    rows.push_back({std::string(to_string(check.state)), check.name, check.detail});
    if (!check.hint.empty()) rows.push_back({"", "", "-> " + check.hint});
  }
  fmt::print("onnx-local " ONNXLOCAL_VERSION "\n\n{}\n", table(rows));
  rows = {{"SETTING", "VALUE", "FROM"}};
  for (const ResolvedSetting& setting : settings.resolved) {
    rows.push_back({setting.key, setting.value.empty() ? "-" : setting.value, setting.origin});
  }
  fmt::print("{}\n{}\n", table(rows),
             is_sound ? "Nothing is wrong." : "Something is wrong: see above.");
}

Result<ExitCode> run_doctor(bool is_full, bool is_json, const CommandContext& context) {
  const Interrupts interrupts;
  std::vector<Check> checks;
  check_machine(checks);
  check_runtime(context.settings, checks);
  check_folder("models folder", context.store.paths().models, checks);
  check_folder("cache folder", context.store.paths().cache, checks);
  TRY_VOID(check_models(context.store, is_full, interrupts.stop_token(), checks));
  check_chosen_model(context, checks);
  check_port(context.settings, checks);
  const bool is_sound = std::ranges::none_of(
      checks, [](const Check& check) { return check.state == CheckState::kProblem; });
  if (is_json) {
    print_json(to_json_object(checks, context.settings, is_sound));
  } else {
    print_text(checks, context.settings, is_sound);
  }
  return is_sound ? ExitCode::kOk : ExitCode::kFailure;
}

}  // namespace

void add_doctor(CLI::App& app, CommandLine& line) {
  CLI::App* command =
      app.add_subcommand("doctor", "Check the machine, the models, the port and the settings");
  const auto is_full = std::make_shared<bool>(false);
  command->add_flag("--full", *is_full, "Compare every file's hash too, not its size alone");
  line.add_setting(*command, "host", "The address to check");
  line.add_setting(*command, "port", "The port to check");
  line.add_setting(*command, "model", "The model to check");
  line.add_json(*command);
  command->footer("Exit code 1 when something is wrong.\n\nExample:\n  onnx-local doctor --full");
  command->callback([is_full, &line] {
    line.command = [is_full, &line](CommandContext& context) {
      return run_doctor(*is_full, line.is_json, context);
    };
  });
}

}  // namespace onnxlocal
