#include "cli/launch_variables.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "cli/serve_banner.h"

namespace onnxlocal {

namespace {

constexpr std::uint32_t kDefaultPromptTokens = 12000;
/// From here on all tools are declared at once, which costs 8000 tokens more and spares small
/// models a search for each.
constexpr std::uint32_t kRoomyTokens = 65536;

/// Each of these is stronger than ANTHROPIC_BASE_URL, or would send the user's own key here.
constexpr std::array kTakenAway = {
    "ANTHROPIC_API_KEY",       "ANTHROPIC_CUSTOM_HEADERS", "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX",   "CLAUDE_CODE_USE_FOUNDRY",
};

/// Inside single quotes a shell takes everything as it is, but for the quote itself.
std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  result += '\'';
  return result;
}

std::string_view name_of(std::string_view assignment) {
  return assignment.substr(0, assignment.find('='));
}

}  // namespace

bool fits_default_prompt(std::uint32_t context_tokens) {
  return context_tokens >= kDefaultPromptTokens + claude_output_tokens(context_tokens);
}

std::vector<VariableChange> claude_variables(const ClaudeTarget& target) {
  const std::string local = "127.0.0.1,localhost";
  const std::string direct = target.no_proxy.empty() ? local : target.no_proxy + "," + local;
  std::vector<VariableChange> changes = {
      {"ANTHROPIC_BASE_URL", target.url},
      // Not ANTHROPIC_API_KEY: about a key Claude Code asks before it uses it.
      {"ANTHROPIC_AUTH_TOKEN", target.key},
      {"ANTHROPIC_MODEL", target.model},
  };
  for (const char* name : {"ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
                           "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_SMALL_FAST_MODEL"}) {
    changes.push_back({name, target.model});
  }
  // Without these two an unknown model is taken for one with a window of a million tokens.
  changes.push_back({"CLAUDE_CODE_MAX_CONTEXT_TOKENS", fmt::to_string(target.context_tokens)});
  changes.push_back({"CLAUDE_CODE_MAX_OUTPUT_TOKENS",
                     fmt::to_string(claude_output_tokens(target.context_tokens))});
  changes.push_back({"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"});
  changes.push_back({"CLAUDE_CODE_ATTRIBUTION_HEADER", "0"});
  changes.push_back(
      {"ENABLE_TOOL_SEARCH", target.context_tokens >= kRoomyTokens ? "false" : "true"});
  changes.push_back({"NO_PROXY", direct});
  changes.push_back({"no_proxy", direct});
  for (const char* name : kTakenAway) changes.push_back({name, std::nullopt});
  return changes;
}

std::string to_shell_lines(std::span<const VariableChange> changes) {
  std::string lines;
  for (const auto& change : changes) {
    lines += change.value ? fmt::format("export {}={}\n", change.name, quoted(*change.value))
                          : fmt::format("unset {}\n", change.name);
  }
  return lines;
}

std::vector<std::string> changed_environment(std::span<const std::string> current,
                                             std::span<const VariableChange> changes) {
  std::vector<std::string> result;
  for (const auto& assignment : current) {
    const auto name = name_of(assignment);
    if (std::ranges::find(changes, name, &VariableChange::name) == changes.end()) {
      result.push_back(assignment);
    }
  }
  for (const auto& change : changes) {
    if (change.value) result.push_back(fmt::format("{}={}", change.name, *change.value));
  }
  return result;
}

}  // namespace onnxlocal
