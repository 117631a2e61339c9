#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <memory>

#include "base/file_system.h"
#include "cli/launch_claude.h"
#include "cli/launch_process.h"
#include "cli/launch_server.h"
#include "cli/launch_variables.h"
#include "cli/program.h"
#include "cli/warm_recorder.h"
#include "cli/warm_request.h"

namespace onnxlocal {

namespace {

using std::chrono::milliseconds;

/// Claude Code needs a second or two to begin; on a busy machine many more.
constexpr std::chrono::seconds kRecordMax{180};
constexpr milliseconds kLook{20};
constexpr std::size_t kLogBytesMax = std::size_t{1} << 20;

struct WarmFlags {
  std::vector<std::string> arguments;  ///< For the client, as they are.
};

/// Runs the client once against a recorder. Its texts go through memory alone.
Result<RecordedRequest> record_request(const WarmFlags& flags, const LaunchedServer& server,
                                       const std::filesystem::path& log,
                                       const LaunchSignals& signals) {
  TRY(const auto program, find_claude());
  TRY(const auto recorder, RequestRecorder::start());
  auto target = claude_target(server);
  target.url = ServerAddress{.port = recorder->port()}.url();
  std::vector<std::string> arguments = {"-p", "Hello", "--no-session-persistence"};
  arguments.insert(arguments.end(), flags.arguments.begin(), flags.arguments.end());
  const auto own = own_environment();
  TRY(auto client,
      ChildProcess::start({.program = program,
                           .arguments = std::move(arguments),
                           .environment = changed_environment(own, claude_variables(target)),
                           .output_file = log},
                          signals));
  const auto deadline = Deadline::after(kRecordMax);
  while (!deadline.has_passed()) {
    if (auto request = recorder->first()) return *std::move(request);
    const auto signal = signals.wait(kLook);
    if (signal && signal->si_signo != SIGCHLD) return std::unexpected(cancelled("interrupted"));
    if (client.exit_code() && !recorder->first()) {
      return std::unexpected(unavailable(
          fmt::format("`claude` asked nothing: {}", read_text_file(log, kLogBytesMax).value_or("")),
          "Try it alone: claude -p Hello"));
    }
  }
  return std::unexpected(timed_out("`claude` asked nothing in time"));
}

struct Warmed {
  std::string model;
  PromptUsage usage;
  double seconds = 0;
};

Result<Warmed> warm_up(const WarmFlags& flags, const CommandLine& line,
                       const CommandContext& context) {
  const auto log = context.store.paths().cache / "launch" / "claude.log";
  auto signals = std::make_unique<LaunchSignals>();
  TRY(const auto server, find_or_start_server(line, context, *signals));
  std::error_code failed;
  std::filesystem::create_directories(log.parent_path(), failed);  // Else its file tells.
  TRY(const auto recorded, record_request(flags, server, log, *signals));
  TRY(auto body, one_token_request(recorded.body));
  // From here on Ctrl-C ends this program as any other; a server that was started here ends too.
  signals.reset();
  const auto start = Deadline::Clock::now();
  TRY(const auto answer,
      ask_server(server.address,
                 {.method = "POST",
                  .path = "/v1/messages?beta=true",
                  .body = std::move(body),
                  .headers = {{"anthropic-beta", recorded.betas}, {"x-api-key", client_key()}}},
                 Deadline()));
  const std::chrono::duration<double> taken = Deadline::Clock::now() - start;
  TRY(const auto usage, read_prompt_usage(answer.status, answer.body));
  return Warmed{.model = server.model.id, .usage = usage, .seconds = taken.count()};
}

Result<ExitCode> run_warm(const WarmFlags& flags, const CommandLine& line,
                          const CommandContext& context) {
  TRY(const auto warmed, warm_up(flags, line, context));
  const auto& usage = warmed.usage;
  if (line.is_json) {
    print_json(json::object{{"model", warmed.model},
                            {"prompt_tokens", usage.cached_tokens + usage.computed_tokens},
                            {"cached_tokens", usage.cached_tokens},
                            {"computed_tokens", usage.computed_tokens},
                            {"seconds", warmed.seconds}});
  } else {
    fmt::print(
        "Claude Code's prompt has {} tokens for {}: {} were there, {} computed in {:.1f} s.\n",
        usage.cached_tokens + usage.computed_tokens, warmed.model, usage.cached_tokens,
        usage.computed_tokens, warmed.seconds);
  }
  return ExitCode::kOk;
}

}  // namespace

void add_warm(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("warm", "Compute a client's own prompt before it asks");
  command->require_subcommand(1);
  const auto flags = std::make_shared<WarmFlags>();
  CLI::App* claude = command->add_subcommand("claude-code", "Claude Code's system and tools");
  for (CLI::App* each : {command, claude}) {
    line.add_setting(*each, "port", "The server's port (3001); 0 takes a free one");
    line.add_setting(*each, "model", "A name, a folder or a file; else the default model");
    line.add_json(*each);
  }
  claude->prefix_command();
  claude->fallthrough(false);
  constexpr const char* kFooter =
      "Runs the installed `claude` once, in the current folder, against an endpoint that only "
      "notes\n"
      "what it asks; the server then computes that prompt and keeps it. Further arguments go to\n"
      "`claude`. Needs room for the prompt: about 12000 tokens, 1000 with --bare.\n\n"
      "Example:\n"
      "  onnx-local warm claude-code --bare";
  command->footer(kFooter);
  claude->footer(kFooter);
  claude->callback([flags, claude, &line] {
    flags->arguments = client_arguments(*claude);
    line.command = [flags, &line](CommandContext& context) {
      return run_warm(*flags, line, context);
    };
  });
}

}  // namespace onnxlocal
