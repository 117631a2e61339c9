#include "cli/program.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/environment.h"
#include "base/log.h"
#include "cli/pdf_text.h"
#include "runtime/model_session.h"

namespace onnxlocal {

namespace {

constexpr const char* kFooter =
    "Settings come from flags, then the environment, then onnx-local.toml; `onnx-local doctor`\n"
    "shows each with its origin. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n"
    "\n"
    "Examples:\n"
    "  onnx-local run \"Write a haiku about rain.\"\n"
    "  onnx-local serve";

void add_global_flags(CLI::App& app, CommandLine& line) {
  app.add_flag("-v,--verbose", line.is_verbose, "Say what is done, on standard error");
  line.add_setting(app, "log_level",
                   "Log from this level on, ONNX Runtime's messages too: verbose, info, warning, "
                   "error");
  line.add_setting(app, "execution_providers",
                   "Execution providers in order, with options: cuda:device_id=0,onnx-local,cpu");
  line.add_setting(app, "threads", "Threads for one model; 0 takes the physical cores");
  line.add_setting(app, "graph_optimization", "disabled, basic, extended or all");
  line.add_setting(app, "draft_model", "A smaller model of the same vocabulary, to guess ahead");
  line.add_setting(app, "context", "Context window in tokens; 0 takes the model's own");
  line.add_setting(app, "kv_memory",
                   "Most memory for the keys and values of what runs, in MiB; 0 takes 4096, and "
                   "no more than half of what may be used");
  line.add_setting(app, "kv_cache_type",
                   "Type of the keys and values of what runs: bf16, or int8 in half the memory");
  app.set_version_flag("--version", "onnx-local " ONNXLOCAL_VERSION, "Print the version");
}

void add_commands(CLI::App& app, CommandLine& line) {
  add_serve(app, line);
  add_run(app, line);
  add_launch(app, line);
  add_warm(app, line);
  add_import(app, line);
  add_list(app, line);
  add_cache(app, line);
  add_show(app, line);
  add_doctor(app, line);
  add_bench(app, line);
  add_perplexity(app, line);
  for (CLI::App* command : app.get_subcommands({})) command->fallthrough();
}

Result<CommandContext> make_context(const CommandLine& line) {
  SettingSources sources;
  for (const auto& [key, value] : line.flags) {
    if (value) sources.flags.emplace(key, *value);
  }
  sources.environment = environment_variable;
  TRY_VOID(check_provider_choice(sources.environment));
  TRY(sources.file, find_settings_file());
  TRY(Settings settings, resolve_settings(sources, line.is_verbose));
  TRY(StorePaths paths, store_paths());
  return CommandContext{.settings = std::move(settings), .store = ModelStore(std::move(paths))};
}

ExitCode fail(const Error& error, bool is_json, ExitCode code) {
  std::fflush(stdout);
  print_error(error, is_json);
  return code;
}

ExitCode run_command(const CommandLine& line) {
  auto context = make_context(line);
  // Whatever is wrong with settings can be mended where they are written.
  if (!context) return fail(context.error(), line.is_json, ExitCode::kUsage);
  set_log_level(context->settings.log_level);
  for (const std::string& warning : context->settings.warnings) print_warning(warning);
  const auto outcome = line.command(*context);
  if (!outcome) return fail(outcome.error(), line.is_json, exit_code(outcome.error()));
  return *outcome;
}

/// CLI11's own message, in our form; help and version are no errors.
ExitCode report(const CLI::App& app, const CLI::ParseError& error, std::span<char*> arguments) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    app.exit(error);
    return ExitCode::kOk;
  }
  const bool is_json =
      std::ranges::any_of(arguments, [](const char* a) { return std::string_view(a) == "--json"; });
  return fail(invalid_request(error.what(), "See onnx-local --help, or onnx-local COMMAND --help."),
              is_json, ExitCode::kUsage);
}

ExitCode parse_and_run(int argc, char** argv) {
  CLI::App app("Runs language models on this machine, behind the Anthropic Messages API.",
               "onnx-local");
  CommandLine line;
  app.footer(kFooter);
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(30);
  add_global_flags(app, line);
  add_commands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report(app, error, std::span(argv, static_cast<std::size_t>(argc)));
  }
  if (!line.command) {
    fmt::print("{}", app.help());
    return ExitCode::kUsage;
  }
  return run_command(line);
}

}  // namespace

void CommandLine::add_setting(CLI::App& app, const std::string& key, const std::string& help) {
  const auto spec = std::ranges::find(setting_specs(), key, &SettingSpec::key);
  std::string text = help;
  if (!spec->environment.empty()) text += fmt::format(" [{}]", fmt::join(spec->environment, ", "));
  app.add_option(std::string(spec->flag), flags[key], text)->type_name("TEXT");
}

void CommandLine::add_json(CLI::App& app) {
  app.add_flag("--json", is_json, "Print JSON, errors too");
}

RuntimeOptions runtime_options(const CommandContext& context) {
  RuntimeOptions options = context.settings.runtime;
  options.cache_folder = context.store.paths().cache;
  return options;
}

Result<EngineSetUp> engine_set_up(const CommandContext& context, std::stop_token stop,
                                  const ProgressSink& progress) {
  EngineSetUp set_up;
  set_up.engine.speculation.kind = context.settings.speculation;
  const std::uint64_t kv_bytes = context.settings.runtime.kv_bytes_max;
  if (kv_bytes > 0) set_up.engine.kv_bytes_max = kv_bytes;
  if (context.settings.speculation == Speculation::kDraftModel) {
    TRY(set_up.draft, context.store.resolve(context.settings.draft_model, stop, progress));
  }
  return set_up;
}

int run_program(int argc, char** argv) {
  try {
    if (argc == 2 && std::string_view(argv[1]) == kPdfTextCommand) return run_pdf_text();
    forbid_telemetry();
    return static_cast<int>(parse_and_run(argc, argv));
  } catch (const std::exception& error) {
    // A library of this folder threw: standard output is gone, or memory is.
    std::fprintf(stderr, "onnx-local: %s\n", error.what());
    return static_cast<int>(ExitCode::kFailure);
  }
}

}  // namespace onnxlocal
