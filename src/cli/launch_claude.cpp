#include "cli/launch_claude.h"

#include <CLI/CLI.hpp>

#include "base/environment.h"
#include "cli/launch_process.h"

namespace onnxlocal {

Result<std::filesystem::path> find_claude() {
  const auto found = find_program("claude", environment_variable("PATH").value_or(""));
  if (found) return *found;
  return std::unexpected(not_found(
      "there is no program `claude` in PATH",
      "Install it: npm install -g @anthropic-ai/claude-code (see https://claude.com/claude-code)"));
}

std::vector<std::string> client_arguments(const CLI::App& command) {
  auto arguments = command.remaining();
  if (!arguments.empty() && arguments.front() == "--") arguments.erase(arguments.begin());
  return arguments;
}

}  // namespace onnxlocal
