#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "cli/cache_settings.h"
#include "cli/pdf_text.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "cli/serve_banner.h"
#include "provider/local.h"
#include "provider/local_embedder.h"
#include "provider/unavailable.h"
#include "server/server.h"
#include "store/embedding_models.h"

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
  set_up->engine.disk_cache = disk_cache_options(context);
  set_up->engine.explain_cache = context.settings.explain_cache;
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

/// The embedding models of the models folder. Borrows `embedder`, where there are any.
EmbeddingModels offer_embeddings(const CommandContext& context,
                                 std::optional<LocalEmbedder>& embedder) {
  auto folders = list_embedding_models(context.store.paths());
  if (folders.empty()) return {};
  embedder.emplace(std::move(folders), runtime_options(context));
  return {.models = embedder->models(),
          .embed = [&embedder](EmbeddingRequest request, EmbeddingSink sink) {
            return embedder->embed(std::move(request), std::move(sink));
          }};
}

bool is_local(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Result<ExitCode> run_serve(const CommandContext& context, bool allow_unauthenticated) {
  const Settings& settings = context.settings;
  TRY(ServerOptions options, server_options(settings.serve));
  // What is asked for is shown, whatever the level.
  const bool explains = settings.explain_cache != ExplainCache::kOff;
  if (explains && settings.log_level > LogLevel::kInfo) set_log_level(LogLevel::kInfo);
  ProgressBar bar;
  // The banner goes out in one piece.
  std::atomic<bool> has_banner = false;
  Served served = open_model(context, bar,
                             [&has_banner, show = bar.sink()](
                                 std::string_view what, std::uint64_t done, std::uint64_t total) {
                               if (has_banner) show(what, done, total);
                             });
  options.allow_unauthenticated = allow_unauthenticated;
  if (options.batch_folder.empty()) {
    options.batch_folder = context.store.paths().models.parent_path() / "batches";
  }
  const bool has_keys = !options.keys.empty();
  options.host = settings.host;
  options.port = settings.port;
  options.read_pdf = make_pdf_reader();
  std::optional<LocalEmbedder> embedder;  // Goes after the server.
  options.embeddings = offer_embeddings(context, embedder);
  TRY(const auto server, Server::start(std::move(options), served.provider));
  server->catch_signals();
  fmt::print("{}", to_text({.url = server->url(),
                            .model = served.model,
                            .context_tokens = served.context_tokens,
                            .has_keys = has_keys}));
  std::fflush(stdout);
  if (!is_local(settings.host) && !has_keys) {
    print_warning("there is no password: whoever reaches " + server->url() + " may use it");
  }
  has_banner = true;
  server->run_until_signal();
  served.provider->shut_down(Deadline::after(kProviderShutDown));
  return ExitCode::kOk;
}

void add_limits(CLI::App& command, CommandLine& line) {
  line.add_setting(command, "requests_per_minute", "For each key; 0 is no limit");
  line.add_setting(command, "tokens_per_minute", "The same, of input and output together");
  line.add_setting(command, "input_tokens_per_minute", "The same, of prompts' computed tokens");
  line.add_setting(command, "output_tokens_per_minute", "The same, of answers' tokens");
  line.add_setting(command, "concurrent_requests", "Requests of a key that run at a time");
  line.add_setting(command, "request_timeout", "Most seconds for one answer; 0 is no limit");
}

void add_cache_flags(CLI::App& command, CommandLine& line) {
  line.add_setting(command, "cache_dir", "Keep prefixes here; else in the cache folder");
  line.add_setting(command, "disk_cache",
                   "Most bytes of prefixes on disk: 512M, 8G; off keeps none. Else 4G, and no more "
                   "than a tenth of what is free");
  command.add_flag_callback(
      "--no-disk-cache", [&line] { line.flags["disk_cache"] = "off"; },
      "The same as --disk-cache off");
  command.add_flag("--explain-cache{reason}", line.flags["explain_cache"],
                   "Log what the prefix cache did for each prompt, and why no more; =text also "
                   "shows the prompt's text there [ONNX_LOCAL_EXPLAIN_CACHE]");
}

}  // namespace

void add_serve(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model over the Anthropic Messages API");
  line.add_setting(*command, "host", "The address to listen on (127.0.0.1)");
  line.add_setting(*command, "port", "The port to listen on (3001); 0 takes a free one");
  line.add_setting(*command, "model", "A name, a folder or a file; else the default model");
  add_cache_flags(*command, line);
  line.add_setting(*command, "speculation", "Guess tokens ahead: off, prompt-lookup or draft");
  line.add_setting(*command, "api_key_file",
                   "API keys, one on each line; read again at SIGHUP. One key alone may stand in "
                   "ONNX_LOCAL_API_KEY");
  const auto allow_unauthenticated = std::make_shared<bool>(false);
  command->add_flag("--allow-unauthenticated", *allow_unauthenticated,
                    "Listen on an address of other machines without a key");
  add_limits(*command, line);
  line.add_setting(*command, "batch_folder", "Where batches are kept; else beside the models");
  line.add_setting(*command, "cors_origins",
                   "A web page's origin that may use the server; may be repeated");
  line.add_setting(*command, "aliases",
                   "NAME=MODEL: another name for a model, such as claude-*=MODEL; may be repeated");
  for (const char* repeated : {"--cors-origin", "--alias"}) {
    command->get_option(repeated)->join(',');
  }
  command->footer(
      "Prints the address, a curl line and a line for Claude Code to copy. Ctrl-C finishes what "
      "runs\nand stops; a second one stops at once.\n\n"
      "Example:\n"
      "  onnx-local serve --port 3001");
  command->callback([&line, allow_unauthenticated] {
    line.command = [allow_unauthenticated](CommandContext& context) {
      return run_serve(context, *allow_unauthenticated);
    };
  });
}

}  // namespace onnxlocal
