#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "cli/serve_settings.h"
#include "engine/engine.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// One setting: where it may be set, and what it is otherwise.
struct SettingSpec {
  std::string_view key;                  ///< In `onnx-local.toml`.
  std::string_view flag;                 ///< "--port".
  std::vector<const char*> environment;  ///< The first that is set counts.
  std::string_view fallback;
};
/// All settings, in the order in which `doctor` shows them.
const std::vector<SettingSpec>& setting_specs();

/// `onnx-local.toml` as it was found.
struct SettingsFile {
  std::filesystem::path path;
  std::map<std::string, std::string> values;  ///< By key, each as text.
  std::vector<std::string> unknown_keys;
};
/// From TOML text; a list of texts is joined by commas. `path` names the file in errors.
/// Errors: invalid_request (with the line).
Result<SettingsFile> parse_settings_file(std::string_view toml, const std::filesystem::path& path);
/// `onnx-local.toml` in the current folder, else in `$XDG_CONFIG_HOME/onnx-local` (`~/.config`).
Result<std::optional<SettingsFile>> find_settings_file();

/// Where values may come from, strongest first.
struct SettingSources {
  std::map<std::string, std::string> flags;  ///< By the setting's key.
  std::function<std::optional<std::string>(const char*)> environment;
  std::optional<SettingsFile> file;
};

struct ResolvedSetting {
  std::string key;
  std::string value;
  std::string origin;  ///< "--port", "ONNX_PROXY_PORT", "onnx-local.toml", "default".
};

/// What the program runs with.
struct Settings {
  std::string model;  ///< A name or a path; empty: the store's default.
  std::string host;
  std::uint16_t port = 0;
  LogLevel log_level = LogLevel::kWarning;
  RuntimeOptions runtime;  ///< All but `cache_folder`.
  Speculation speculation = Speculation::kPromptLookup;
  std::string draft_model;  ///< A name or a path; where it is not empty, it guesses.
  ServeSettings serve;
  std::string cache_dir;  ///< Of prefixes; empty: in the store's cache folder.
  /// Bytes of prefixes on disk: 0 as much as is sensible, empty none.
  std::optional<std::uint64_t> disk_cache_bytes = 0;
  ExplainCache explain_cache = ExplainCache::kOff;
  std::vector<ResolvedSetting> resolved;
  std::vector<std::string> warnings;
};

/// Flag, then environment, then file, then the default. `verbose` is `--verbose`.
/// Errors: invalid_request, with the setting's name and origin.
Result<Settings> resolve_settings(const SettingSources& sources, bool verbose);

/// Older programs of this kind chose among providers by `PROVIDER` and `USE_ONNX`; this one has the
/// local one. Errors: unsupported, where another one is asked for.
Result<void> check_provider_choice(
    const std::function<std::optional<std::string>(const char*)>& environment);

}  // namespace onnxlocal
