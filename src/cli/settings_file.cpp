#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/environment.h"
#include "base/file_system.h"
#include "cli/settings.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileName = "onnx-local.toml";
constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;

/// A text, a whole number, or a list of texts, as text.
std::optional<std::string> to_text(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  const toml::array* list = node.as_array();
  if (list == nullptr) return std::nullopt;
  std::vector<std::string> parts;
  for (const toml::node& part : *list) {
    const auto text = part.value_exact<std::string>();
    if (!text) return std::nullopt;
    parts.push_back(*text);
  }
  return fmt::format("{}", fmt::join(parts, ","));
}

bool is_setting(std::string_view key) {
  return std::ranges::any_of(setting_specs(),
                             [&](const SettingSpec& spec) { return spec.key == key; });
}

std::vector<fs::path> candidates() {
  std::vector<fs::path> files = {fs::path(kFileName)};
  if (const auto config = environment_variable("XDG_CONFIG_HOME")) {
    files.push_back(fs::path(*config) / "onnx-local" / kFileName);
  } else if (const auto home = environment_variable("HOME")) {
    files.push_back(fs::path(*home) / ".config" / "onnx-local" / kFileName);
  }
  return files;
}

}  // namespace

Result<SettingsFile> parse_settings_file(std::string_view text, const fs::path& path) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return std::unexpected(invalid_request(
        fmt::format("{}, line {}: {}", path.string(), parsed.error().source().begin.line,
                    parsed.error().description()),
        "Each line is: setting = value. The settings are in docs/cli.md."));
  }
  SettingsFile file;
  file.path = path;
  for (const auto& [key, node] : parsed.table()) {
    const std::string name(key.str());
    if (!is_setting(name)) {
      file.unknown_keys.push_back(name);
      continue;
    }
    auto value = to_text(node);
    if (!value) {
      return std::unexpected(invalid_request(
          fmt::format("{}, line {}: {} is neither a text, a whole number nor a list of texts",
                      path.string(), node.source().begin.line, name)));
    }
    file.values.emplace(name, *std::move(value));
  }
  return file;
}

Result<std::optional<SettingsFile>> find_settings_file() {
  for (const fs::path& path : candidates()) {
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored)) continue;
    TRY(const std::string text, read_text_file(path, kFileBytesMax));
    TRY(SettingsFile file, parse_settings_file(text, path));
    return std::optional(std::move(file));
  }
  return std::optional<SettingsFile>();
}

}  // namespace onnxlocal
