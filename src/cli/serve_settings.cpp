#include "cli/serve_settings.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "base/environment.h"
#include "cli/output.h"
#include "cli/settings.h"
#include "server/middleware/host_check.h"

namespace onnxlocal {

namespace {

constexpr const char* kKeyVariable = "ONNX_LOCAL_API_KEY";

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (!part.empty()) parts.emplace_back(part);
  }
  return parts;
}

Error with_origin(const ResolvedSetting& setting, Error error) {
  return with_context(fmt::format("{} (from {})", setting.key, setting.origin), std::move(error));
}

/// Empty for 0.
Result<std::optional<std::uint32_t>> to_limit(const ResolvedSetting& setting) {
  std::uint32_t number = 0;
  const char* const end = setting.value.data() + setting.value.size();
  const auto [stopped, error] = std::from_chars(setting.value.data(), end, number);
  if (error != std::errc{} || stopped != end) {
    return std::unexpected(with_origin(
        setting, invalid_request(fmt::format("\"{}\" is no whole number", setting.value))));
  }
  return number == 0 ? std::nullopt : std::optional(number);
}

std::optional<std::uint32_t>* limit_of(KeyLimits& limits, std::string_view key) {
  if (key == "requests_per_minute") return &limits.requests_per_minute;
  if (key == "tokens_per_minute") return &limits.tokens_per_minute;
  if (key == "input_tokens_per_minute") return &limits.input_tokens_per_minute;
  if (key == "output_tokens_per_minute") return &limits.output_tokens_per_minute;
  if (key == "concurrent_requests") return &limits.concurrent_requests;
  return nullptr;
}

/// The keys of the file and of the environment; a warning where others may read the file.
Result<LoadedKeys> read_keys(const std::filesystem::path& file) {
  LoadedKeys loaded;
  if (!file.empty()) {
    TRY(loaded, load_key_file(file));
  }
  if (const auto text = environment_variable(kKeyVariable)) {
    auto key = make_api_key(*text, kKeyVariable);
    if (!key) return std::unexpected(with_context(kKeyVariable, key.error()));
    loaded.keys.push_back(*std::move(key));
  }
  return loaded;
}

}  // namespace

Result<void> apply_serve_setting(const ResolvedSetting& setting, ServeSettings& settings) {
  if (setting.key == "batch_folder") settings.batch_folder = setting.value;
  if (setting.key == "api_key_file") settings.api_key_file = setting.value;
  if (auto* limit = limit_of(settings.limits, setting.key)) {
    TRY(*limit, to_limit(setting));
  }
  if (setting.key == "request_timeout") {
    TRY(const auto seconds, to_limit(setting));
    settings.request_timeout = std::chrono::seconds(seconds.value_or(0));
  }
  if (setting.key == "cors_origins") {
    for (const std::string& text : split(setting.value)) {
      auto origin = parse_origin(text);
      if (!origin) return std::unexpected(with_origin(setting, origin.error()));
      settings.cors_origins.push_back(*std::move(origin));
    }
  }
  if (setting.key == "aliases") {
    auto aliases = ModelAliases::parse(split(setting.value));
    if (!aliases) return std::unexpected(with_origin(setting, aliases.error()));
    settings.aliases = *std::move(aliases);
  }
  return {};
}

Result<ServerOptions> server_options(const ServeSettings& settings) {
  ServerOptions options;
  TRY(LoadedKeys loaded, read_keys(settings.api_key_file));
  if (loaded.warning) print_warning(*loaded.warning);
  options.keys = std::move(loaded.keys);
  if (!settings.api_key_file.empty()) {
    options.reload_keys = [file = settings.api_key_file]() -> Result<std::vector<ApiKey>> {
      TRY(LoadedKeys again, read_keys(file));
      return std::move(again.keys);
    };
  }
  options.default_limits = settings.limits;
  options.cors_origins = settings.cors_origins;
  options.aliases = settings.aliases;
  options.batch_folder = settings.batch_folder;
  options.limits.total = settings.request_timeout;
  return options;
}

}  // namespace onnxlocal
