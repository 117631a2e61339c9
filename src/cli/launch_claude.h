#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}  // namespace CLI

namespace onnxlocal {

/// Claude Code's program, from PATH. Errors: not_found (says how to install it).
Result<std::filesystem::path> find_claude();

/// What follows a subcommand's own options, without the `--` that may part the two.
std::vector<std::string> client_arguments(const CLI::App& command);

}  // namespace onnxlocal
