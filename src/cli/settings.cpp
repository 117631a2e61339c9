#include "cli/settings.h"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <limits>

#include <fmt/format.h>

#include "cli/size_text.h"

namespace onnxlocal {

namespace {

Result<ResolvedSetting> resolve(const SettingSpec& spec, const SettingSources& sources) {
  const std::string key(spec.key);
  if (const auto flag = sources.flags.find(key); flag != sources.flags.end()) {
    return ResolvedSetting{key, flag->second, std::string(spec.flag)};
  }
  for (const char* name : spec.environment) {
    if (auto value = sources.environment(name)) return ResolvedSetting{key, *value, name};
  }
  if (sources.file) {
    const auto value = sources.file->values.find(key);
    if (value != sources.file->values.end()) {
      return ResolvedSetting{key, value->second, sources.file->path.string()};
    }
  }
  return ResolvedSetting{key, std::string(spec.fallback), "default"};
}

std::unexpected<Error> bad_value(const ResolvedSetting& setting, std::string_view expected) {
  return std::unexpected(
      invalid_request(fmt::format("{} (from {}) is \"{}\"; expected {}", setting.key,
                                  setting.origin, setting.value, expected)));
}

template <std::unsigned_integral T>
Result<T> to_number(const ResolvedSetting& setting) {
  T number = 0;
  const char* const end = setting.value.data() + setting.value.size();
  const auto [stopped, error] = std::from_chars(setting.value.data(), end, number);
  if (error != std::errc{} || stopped != end) {
    return bad_value(setting, fmt::format("a number from 0 to {}", std::numeric_limits<T>::max()));
  }
  return number;
}

/// An error of the setting's own parser, with where the text came from.
template <class T>
Result<T> with_origin(Result<T> parsed, const ResolvedSetting& setting) {
  if (parsed) return parsed;
  return std::unexpected(
      with_context(fmt::format("{} (from {})", setting.key, setting.origin), parsed.error()));
}

/// The prefix cache's settings.
Result<void> apply_cache(const ResolvedSetting& setting, Settings& settings) {
  if (setting.key == "cache_dir") settings.cache_dir = setting.value;
  if (setting.key == "disk_cache") {
    settings.disk_cache_bytes = 0;
    if (setting.value == "off") {
      settings.disk_cache_bytes.reset();
    } else if (setting.value != "auto") {
      const auto bytes = parse_size(setting.value);
      if (!bytes || *bytes == 0) return bad_value(setting, "off, auto, or a size: 512M, 8G");
      settings.disk_cache_bytes = *bytes;
    }
  }
  if (setting.key == "explain_cache") {
    if (setting.value == "off") {
      settings.explain_cache = ExplainCache::kOff;
    } else if (setting.value == "reason") {
      settings.explain_cache = ExplainCache::kReason;
    } else if (setting.value == "text") {
      settings.explain_cache = ExplainCache::kText;
    } else {
      return bad_value(setting, "off, reason or text");
    }
  }
  return {};
}

Result<void> apply(const ResolvedSetting& setting, Settings& settings) {
  if (setting.key == "model") settings.model = setting.value;
  if (setting.key == "host") {
    if (setting.value.empty()) return bad_value(setting, "an address or a name");
    settings.host = setting.value;
  }
  if (setting.key == "port") {
    TRY(settings.port, to_number<std::uint16_t>(setting));
  }
  if (setting.key == "execution_providers" && !setting.value.empty()) {
    TRY(settings.runtime.execution_providers,
        with_origin(parse_execution_providers(setting.value), setting));
  }
  if (setting.key == "graph_optimization") {
    TRY(settings.runtime.graph_optimization,
        with_origin(parse_graph_optimization(setting.value), setting));
  }
  if (setting.key == "speculation") {
    TRY(settings.speculation, with_origin(parse_speculation(setting.value), setting));
  }
  if (setting.key == "draft_model") settings.draft_model = setting.value;
  if (setting.key == "log_level") {
    TRY(settings.log_level, with_origin(parse_log_level(setting.value), setting));
    settings.runtime.log_level = settings.log_level;
  }
  if (setting.key == "threads") {
    TRY(settings.runtime.threads, to_number<unsigned>(setting));
  }
  if (setting.key == "kv_memory") {
    TRY(const std::uint32_t mebibytes, to_number<std::uint32_t>(setting));
    settings.runtime.kv_bytes_max = std::uint64_t{mebibytes} << 20;
  }
  if (setting.key == "kv_cache_type") {
    TRY(settings.runtime.kv_cache_type, with_origin(parse_kv_cache_type(setting.value), setting));
  }
  if (setting.key == "context") {
    TRY(settings.runtime.context_tokens, to_number<std::uint32_t>(setting));
  }
  return apply_serve_setting(setting, settings.serve);
}

/// A draft model that is named is meant to guess, unless speculation is off.
Result<void> settle_speculation(Settings& settings) {
  const bool names_model = !settings.draft_model.empty();
  if (settings.speculation == Speculation::kDraftModel && !names_model) {
    return std::unexpected(
        invalid_request("speculation is \"draft\", and no draft_model is named",
                        "Name a smaller model of the same family: --draft-model."));
  }
  if (names_model && settings.speculation == Speculation::kPromptLookup) {
    settings.speculation = Speculation::kDraftModel;
  }
  return {};
}

bool is_true(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  return text == "true" || text == "1" || text == "yes" || text == "on";
}

}  // namespace

const std::vector<SettingSpec>& setting_specs() {
  static const std::vector<SettingSpec> specs = {
      {"model", "--model", {"ONNX_MODEL_PATH", "ONNX_LOCAL_MODEL"}, ""},
      {"host", "--host", {}, "127.0.0.1"},
      {"port", "--port", {"ONNX_PROXY_PORT"}, "3001"},
      {"execution_providers", "--ep", {"ONNX_EXECUTION_PROVIDERS"}, ""},
      {"graph_optimization", "--graph-optimization", {"ONNX_GRAPH_OPTIMIZATION"}, "all"},
      {"threads", "--threads", {"ONNX_THREADS"}, "0"},
      {"context", "--context", {}, "0"},
      {"kv_memory", "--kv-memory", {"ONNX_LOCAL_KV_MEMORY"}, "0"},
      {"kv_cache_type", "--kv-cache-type", {"ONNX_LOCAL_KV_CACHE_TYPE"}, "bf16"},
      {"speculation", "--speculation", {"ONNX_LOCAL_SPECULATION"}, "prompt-lookup"},
      {"draft_model", "--draft-model", {"ONNX_LOCAL_DRAFT_MODEL"}, ""},
      {"api_key_file", "--api-key-file", {"ONNX_LOCAL_API_KEY_FILE"}, ""},
      {"requests_per_minute", "--requests-per-minute", {}, "0"},
      {"tokens_per_minute", "--tokens-per-minute", {}, "0"},
      {"input_tokens_per_minute", "--input-tokens-per-minute", {}, "0"},
      {"output_tokens_per_minute", "--output-tokens-per-minute", {}, "0"},
      {"concurrent_requests", "--concurrent-requests", {}, "0"},
      {"request_timeout", "--request-timeout", {}, "0"},
      {"batch_folder", "--batch-folder", {"ONNX_LOCAL_BATCHES"}, ""},
      {"cors_origins", "--cors-origin", {}, ""},
      {"aliases", "--alias", {}, ""},
      {"cache_dir", "--cache-dir", {"ONNX_LOCAL_CACHE_DIR"}, ""},
      {"disk_cache", "--disk-cache", {"ONNX_LOCAL_DISK_CACHE"}, "auto"},
      {"explain_cache", "--explain-cache", {"ONNX_LOCAL_EXPLAIN_CACHE"}, "off"},
      {"log_level", "--log-level", {"ONNX_LOG_LEVEL"}, "warning"},
  };
  return specs;
}

Result<Settings> resolve_settings(const SettingSources& sources, bool verbose) {
  Settings settings;
  for (const SettingSpec& spec : setting_specs()) {
    TRY(ResolvedSetting setting, resolve(spec, sources));
    TRY_VOID(apply(setting, settings));
    TRY_VOID(apply_cache(setting, settings));
    settings.resolved.push_back(std::move(setting));
  }
  TRY_VOID(settle_speculation(settings));
  // ONNX Runtime's own verbose messages drown ours: they come with --log-level verbose alone.
  if (verbose) settings.log_level = LogLevel::kVerbose;
  if (sources.file) {
    for (const std::string& key : sources.file->unknown_keys) {
      settings.warnings.push_back(
          fmt::format("{}: unknown setting \"{}\"", sources.file->path.string(), key));
    }
  }
  return settings;
}

Result<void> check_provider_choice(
    const std::function<std::optional<std::string>(const char*)>& environment) {
  const auto provider = environment("PROVIDER");
  if (!provider || *provider == "onnx" || *provider == "local") return {};
  const auto use_onnx = environment("USE_ONNX");
  if (use_onnx && is_true(*use_onnx)) return {};
  return std::unexpected(unsupported(
      fmt::format("PROVIDER is \"{}\", and this version serves local models only", *provider),
      "Unset PROVIDER, or set PROVIDER=onnx."));
}

}  // namespace onnxlocal
