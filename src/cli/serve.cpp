#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "cli/program.h"
#include "cli/progress.h"
#include "cli/serve_banner.h"
#include "provider/local.h"
#include "provider/unavailable.h"
#include "server/server.h"

namespace onnxlocal {

namespace {

/// The server's own limit has passed when the provider is shut down: nothing runs any more.
constexpr std::chrono::seconds kProviderShutDown{2};

struct Served {
  std::shared_ptr<Provider> provider;
  std::string model;  ///< Empty where it could not be found or read.
  std::uint32_t context_tokens = 0;
};

/// A model that is broken leaves the server up, to say so.
///   bar: shows an import; `progress` is told of loading, which goes on behind
Served open_model(const CommandContext& context, ProgressBar& bar, ProgressSink progress) {
  const std::string& wanted = context.settings.model;
  auto folder = context.store.resolve(wanted, {}, bar.sink());
  auto set_up = engine_set_up(context, {}, bar.sink());
  if (!folder || !set_up) {
    const std::string id = wanted.empty() ? "" : "onnx-local/" + wanted;
    const Error& error = folder ? set_up.error() : folder.error();
    bar.clear();
    print_error(error, /*as_json=*/false);
    return {.provider = std::make_shared<UnavailableProvider>(id, error), .model = {}};
  }
  Served served;
  served.model = folder->name;
  served.context_tokens = folder->config.context_tokens;
  const std::uint32_t chosen = context.settings.runtime.context_tokens;
  bar.clear();
  if (chosen > served.context_tokens) {
    print_warning(fmt::format("{} has a window of {} tokens; import it with --context {} for more",
                              served.model, served.context_tokens, chosen));
  }
  if (chosen > 0) served.context_tokens = std::min(served.context_tokens, chosen);
  served.provider =
      LocalProvider::load(*std::move(folder), runtime_options(context), std::move(set_up->engine),
                          std::move(set_up->draft), std::move(progress));
  return served;
}

bool is_local(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Result<ExitCode> run_serve(const CommandContext& context) {
  const Settings& settings = context.settings;
  ProgressBar bar;
  // The banner goes out in one piece.
  std::atomic<bool> has_banner = false;
  const Served served =
      open_model(context, bar,
                 [&has_banner, show = bar.sink()](std::string_view what, std::uint64_t done,
                                                  std::uint64_t total) {
                   if (has_banner) show(what, done, total);
                 });
  ServerOptions options;
  options.host = settings.host;
  options.port = settings.port;
  TRY(const auto server, Server::start(options, served.provider));
  server->catch_signals();
  fmt::print("{}", to_text({.url = server->url(),
                            .model = served.model,
                            .context_tokens = served.context_tokens}));
  std::fflush(stdout);
  if (!is_local(settings.host)) {
    print_warning("there is no password: whoever reaches " + server->url() + " may use it");
  }
  has_banner = true;
  server->run_until_signal();
  served.provider->shut_down(Deadline::after(kProviderShutDown));
  return ExitCode::kOk;
}

}  // namespace

void add_serve(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model over the Anthropic Messages API");
  line.add_setting(*command, "host", "The address to listen on (127.0.0.1)");
  line.add_setting(*command, "port", "The port to listen on (3001); 0 takes a free one");
  line.add_setting(*command, "model", "A name, a folder or a file; else the default model");
  line.add_setting(*command, "speculation", "Guess tokens ahead: off, prompt-lookup or draft");
  command->footer(
      "Prints the address, a curl line and a line for Claude Code to copy. Ctrl-C finishes what "
      "runs\nand stops; a second one stops at once.\n\n"
      "Example:\n"
      "  onnx-local serve --port 3001");
  command->callback(
      [&line] { line.command = [](CommandContext& context) { return run_serve(context); }; });
}

}  // namespace onnxlocal
