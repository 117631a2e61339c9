#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace onnxlocal {

/// What Claude Code is pointed at.
struct ClaudeTarget {
  std::string url;                   ///< "http://127.0.0.1:3001"
  std::string model;                 ///< The id in `/v1/models`.
  std::uint32_t context_tokens = 0;  ///< The model's real window.
  std::string key = "local";         ///< Any text where the server asks for none.
  std::string no_proxy = {};         ///< The user's own NO_PROXY.
};

/// A variable of Claude Code's environment; without a value it is taken away.
struct VariableChange {
  std::string name;
  std::optional<std::string> value;
  friend bool operator==(const VariableChange&, const VariableChange&) = default;
};

/// True where Claude Code's own prompt (11 to 12 thousand tokens) leaves room in the window;
/// below, only `claude --bare` works.
bool fits_default_prompt(std::uint32_t context_tokens);

/// All that Claude Code needs in order to work against a local model, and what would lead it past
/// the local server.
std::vector<VariableChange> claude_variables(const ClaudeTarget& target);

/// `export NAME='value'` and `unset NAME` lines for any POSIX shell.
std::string to_shell_lines(std::span<const VariableChange> changes);

/// "NAME=value" texts as `environ` has them, with the changes made.
std::vector<std::string> changed_environment(std::span<const std::string> current,
                                             std::span<const VariableChange> changes);

}  // namespace onnxlocal
