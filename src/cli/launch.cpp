#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/launch_claude.h"
#include "cli/launch_process.h"
#include "cli/launch_server.h"
#include "cli/launch_variables.h"
#include "cli/program.h"

namespace onnxlocal {

namespace {

struct LaunchFlags {
  bool only_prints = false;
  std::vector<std::string> arguments;  ///< For the client, as they are.
};

bool is_bare(const std::vector<std::string>& arguments) {
  return std::ranges::find(arguments, "--bare") != arguments.end();
}

void warn_of_small_window(const OfferedModel& model, const LaunchFlags& flags) {
  if (fits_default_prompt(model.context_tokens) || is_bare(flags.arguments)) return;
  print_warning(fmt::format(
      "{} has a window of {} tokens, and Claude Code's own prompt takes about 12000: add --bare, "
      "or import a model with --context 32768",
      model.id, model.context_tokens));
}

Result<ExitCode> print_variables(const CommandContext& context) {
  TRY(const auto server, describe_server(context));
  fmt::print("{}", to_shell_lines(claude_variables(claude_target(server))));
  return ExitCode::kOk;
}

Result<ExitCode> run_launch(const LaunchFlags& flags, const CommandLine& line,
                            const CommandContext& context) {
  if (flags.only_prints) return print_variables(context);
  TRY(const auto program, find_claude());
  const LaunchSignals signals;
  TRY(const auto server, find_or_start_server(line, context, signals));
  warn_of_small_window(server.model, flags);
  const auto changes = claude_variables(claude_target(server));
  const auto own = own_environment();
  TRY(auto client, ChildProcess::start({.program = program,
                                        .arguments = flags.arguments,
                                        .environment = changed_environment(own, changes)},
                                       signals));
  return static_cast<ExitCode>(wait_and_pass_signals(client, signals));
}

}  // namespace

void add_launch(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("launch", "Run Claude Code with a local model");
  command->require_subcommand(1);
  const auto flags = std::make_shared<LaunchFlags>();
  CLI::App* claude = command->add_subcommand("claude", "Claude Code");
  for (CLI::App* each : {command, claude}) {
    each->add_flag("--print", flags->only_prints, "Only print the variables, for a shell");
    line.add_setting(*each, "port", "The server's port (3001); 0 takes a free one");
    line.add_setting(*each, "model", "A name, a folder or a file; else the default model");
  }
  // From the first argument that is none of these, all are the client's.
  claude->prefix_command();
  claude->fallthrough(false);
  constexpr const char* kFooter =
      "Uses the server on the port, or starts one and stops it at the end. From the first "
      "argument\n"
      "that is none of the above, or after --, all go to `claude`, whose exit code is returned.\n\n"
      "Examples:\n"
      "  onnx-local launch claude --print\n"
      "  onnx-local launch claude --bare -p \"What is 2 + 2?\"";
  command->footer(kFooter);
  claude->footer(kFooter);
  claude->callback([flags, claude, &line] {
    flags->arguments = client_arguments(*claude);
    line.command = [flags, &line](CommandContext& context) {
      return run_launch(*flags, line, context);
    };
  });
}

}  // namespace onnxlocal
