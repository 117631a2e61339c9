#pragma once

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/settings.h"
#include "store/model_store.h"

namespace CLI {
class App;
}  // namespace CLI

namespace onnxlocal {

/// What a subcommand runs with.
struct CommandContext {
  Settings settings;
  ModelStore store;
};

/// What the command line says. Subcommands add their options and, when chosen, set `command`.
struct CommandLine {
  std::map<std::string, std::optional<std::string>> flags;  ///< Settings, by key.
  bool is_verbose = false;
  bool is_json = false;
  std::function<Result<ExitCode>(CommandContext&)> command;

  /// Adds the flag of a setting.
  void add_setting(CLI::App& app, const std::string& key, const std::string& help);
  void add_json(CLI::App& app);
};

/// Settings with the cache folder filled in, ready for `load_decoder`.
RuntimeOptions runtime_options(const CommandContext& context);

/// The engine's options, and the draft model's folder where one guesses. Errors: those of
/// `ModelStore::resolve`.
struct EngineSetUp {
  EngineOptions engine;
  std::optional<ModelFolder> draft;
};
Result<EngineSetUp> engine_set_up(const CommandContext& context, std::stop_token stop,
                                  const ProgressSink& progress);

// One per subcommand, each in its own file.
void add_serve(CLI::App& app, CommandLine& line);
void add_run(CLI::App& app, CommandLine& line);
void add_warm(CLI::App& app, CommandLine& line);
void add_import(CLI::App& app, CommandLine& line);
void add_launch(CLI::App& app, CommandLine& line);
void add_list(CLI::App& app, CommandLine& line);
void add_cache(CLI::App& app, CommandLine& line);
void add_show(CLI::App& app, CommandLine& line);
void add_doctor(CLI::App& app, CommandLine& line);
void add_bench(CLI::App& app, CommandLine& line);
void add_perplexity(CLI::App& app, CommandLine& line);

/// The whole program; the result is its exit code. Never throws.
int run_program(int argc, char** argv);

}  // namespace onnxlocal
