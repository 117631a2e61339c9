#include "cli/launch_server.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/environment.h"
#include "base/file_system.h"
#include "base/json.h"
#include "cli/output.h"
#include "store/model_name.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kQuickAnswer{10};
constexpr milliseconds kLook{50};
constexpr std::size_t kLogBytesMax = std::size_t{1} << 20;
constexpr std::size_t kLogTailBytes = 2000;
constexpr unsigned kUnauthorized = 401;

std::string_view text_of(const json::value& object, std::string_view key) {
  const json::object* fields = object.if_object();
  const json::value* found = fields == nullptr ? nullptr : fields->if_contains(key);
  if (found == nullptr || !found->is_string()) return {};
  return found->get_string();
}

ServerAddress address_of(const Settings& settings) {
  const bool is_any = settings.host == "0.0.0.0" || settings.host == "::";
  return {.host = is_any ? "127.0.0.1" : settings.host, .port = settings.port};
}

Result<json::value> ask_json(const ServerAddress& server, const char* path) {
  TRY(const auto answer, ask_server(server, {.path = path}, Deadline::after(kQuickAnswer)));
  return json::parse(answer.body);
}

/// True where a server of ours listens, false where nobody does.
/// Errors: unavailable (somebody else does).
Result<bool> is_ours(const ServerAddress& server) {
  if (server.port == 0) return false;
  const auto hello = ask_json(server, "/");
  if (!hello && hello.error().code == ErrorCode::kUnavailable) return false;
  if (hello && text_of(*hello, "name") == "onnx-local") return true;
  return std::unexpected(unavailable(
      fmt::format("what answers at {} is not onnx-local", server.url()), "Name another --port."));
}

/// A port that is free now. The server tells when somebody else was quicker.
Result<std::uint16_t> free_port(const std::string& host) {
  namespace asio = boost::asio;
  asio::io_context network;
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  asio::ip::tcp::acceptor acceptor(network);
  const asio::ip::tcp::endpoint any(error ? asio::ip::address_v4::loopback() : address, 0);
  acceptor.open(any.protocol(), error);
  if (!error) acceptor.bind(any, error);
  const auto bound = acceptor.local_endpoint(error);
  if (error) return std::unexpected(unavailable("no port is free: " + error.message()));
  return bound.port();
}

/// `serve` with what the user said, and nothing else.
std::vector<std::string> serve_arguments(const CommandLine& line, std::uint16_t port) {
  std::vector<std::string> arguments = {"serve", "--port", fmt::to_string(port)};
  for (const SettingSpec& spec : setting_specs()) {
    const auto flag = line.flags.find(std::string(spec.key));
    if (spec.key == "port" || flag == line.flags.end() || !flag->second) continue;
    arguments.emplace_back(spec.flag);
    arguments.push_back(*flag->second);
  }
  return arguments;
}

Error ended_early(const fs::path& log) {
  const auto text = read_text_file(log, kLogBytesMax).value_or("");
  const auto tail = text.size() > kLogTailBytes ? text.substr(text.size() - kLogTailBytes) : text;
  return unavailable(fmt::format("the server ended: {}", tail), "Try it alone: onnx-local serve");
}

/// Empty while the model is loading. Errors: unavailable (it cannot be loaded).
Result<bool> is_ready(const ServerAddress& server) {
  const auto health = ask_json(server, "/health");
  if (!health) return false;
  const auto status = text_of(*health, "status");
  if (status != "failed") return status == "ready";
  const json::value* failure = health->get_object().if_contains("failure");
  const bool is_told = failure != nullptr && failure->is_object();
  return std::unexpected(unavailable(
      fmt::format("the model cannot be loaded: {}",
                  is_told ? text_of(*failure, "message") : std::string_view("see /health")),
      is_told ? std::string(text_of(*failure, "hint")) : std::string()));
}

Result<void> wait_until_ready(const ServerAddress& server, ChildProcess* process,
                              const fs::path& log, const LaunchSignals& signals) {
  for (;;) {
    TRY(const bool ready, is_ready(server));
    if (ready) return {};
    if (process != nullptr && process->exit_code()) return std::unexpected(ended_early(log));
    const auto signal = signals.wait(kLook);
    if (signal && signal->si_signo != SIGCHLD) return std::unexpected(cancelled("interrupted"));
  }
}

Result<ChildProcess> start_server(const CommandLine& line, std::uint16_t port, const fs::path& log,
                                  const LaunchSignals& signals) {
  std::error_code failed;
  fs::create_directories(log.parent_path(), failed);
  return ChildProcess::start({.program = "/proc/self/exe",
                              .arguments = serve_arguments(line, port),
                              .environment = own_environment(),
                              .output_file = log},
                             signals);
}

Result<OfferedModel> ask_for_model(const ServerAddress& server, const Settings& settings) {
  const ServerQuestion question{.path = "/v1/models?limit=1000",
                                .headers = {{"x-api-key", client_key()}}};
  TRY(const auto answer, ask_server(server, question, Deadline::after(kQuickAnswer)));
  if (answer.status == kUnauthorized) {
    return std::unexpected(unavailable(fmt::format("{} wants an API key", server.url()),
                                       "Set ONNX_LOCAL_API_KEY to one of its keys."));
  }
  TRY(const auto models, parse_offered_models(answer.body));
  return choose_offered(models, settings.model);
}

}  // namespace

Result<std::vector<OfferedModel>> parse_offered_models(std::string_view body) {
  const Error wrong = internal_error("the server's list of models cannot be read");
  const auto document = json::parse(body);
  if (!document || !document->is_object()) return std::unexpected(wrong);
  const json::value* data = document->get_object().if_contains("data");
  if (data == nullptr || !data->is_array()) return std::unexpected(wrong);
  std::vector<OfferedModel> models;
  for (const json::value& entry : data->get_array()) {
    OfferedModel model{.id = std::string(text_of(entry, "id"))};
    if (model.id.empty()) return std::unexpected(wrong);
    const json::value* window = entry.get_object().if_contains("max_input_tokens");
    if (window != nullptr && window->is_int64() && window->get_int64() > 0) {
      model.context_tokens = static_cast<std::uint32_t>(
          std::min<std::int64_t>(window->get_int64(), std::uint32_t(-1)));
    }
    models.push_back(std::move(model));
  }
  return models;
}

Result<OfferedModel> choose_offered(const std::vector<OfferedModel>& models,
                                    std::string_view wanted) {
  std::vector<std::string_view> names;
  for (const OfferedModel& model : models) {
    if (wanted.empty() || without_prefix(model.id) == without_prefix(wanted)) return model;
    names.push_back(model.id);
  }
  if (names.empty()) return std::unexpected(not_found("the server offers no model"));
  return std::unexpected(not_found(
      fmt::format("the server that runs does not offer \"{}\"", wanted),
      fmt::format("It offers {}. Another --port starts another server.", fmt::join(names, ", "))));
}

Result<LaunchedServer> find_or_start_server(const CommandLine& line, const CommandContext& context,
                                            const LaunchSignals& signals) {
  LaunchedServer server{.address = address_of(context.settings), .model = {}};
  TRY(const bool runs, is_ours(server.address));
  const fs::path log = context.store.paths().cache / "launch" / "serve.log";
  if (!runs) {
    if (server.address.port == 0) {
      TRY(server.address.port, free_port(server.address.host));
    }
    TRY(server.process, start_server(line, server.address.port, log, signals));
  }
  TRY_VOID(
      wait_until_ready(server.address, server.process ? &*server.process : nullptr, log, signals));
  TRY(server.model, ask_for_model(server.address, context.settings));
  return server;
}

Result<LaunchedServer> describe_server(const CommandContext& context) {
  LaunchedServer server{.address = address_of(context.settings), .model = {}};
  TRY(const bool runs, is_ours(server.address));
  if (runs) {
    TRY(server.model, ask_for_model(server.address, context.settings));
    return server;
  }
  TRY(const ModelFolder folder, context.store.resolve(context.settings.model));
  server.model = {.id = "onnx-local/" + folder.name,
                  .context_tokens = folder.config.context_tokens};
  const std::uint32_t chosen = context.settings.runtime.context_tokens;
  if (chosen > 0) server.model.context_tokens = std::min(server.model.context_tokens, chosen);
  return server;
}

std::string client_key() { return environment_variable("ONNX_LOCAL_API_KEY").value_or("local"); }

ClaudeTarget claude_target(const LaunchedServer& server) {
  return {.url = server.address.url(),
          .model = server.model.id,
          .context_tokens = server.model.context_tokens,
          .key = client_key(),
          .no_proxy = environment_variable("NO_PROXY").value_or("")};
}

}  // namespace onnxlocal
