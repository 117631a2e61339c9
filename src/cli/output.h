#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace onnxlocal {

/// What the program returns to its shell: documented in docs/cli.md.
enum class ExitCode : int { kOk = 0, kFailure = 1, kUsage = 2, kInterrupted = 130 };
ExitCode exit_code(const Error& error);

/// One line of JSON, numbers as people write them.
std::string json_text(const json::value& value);
void print_json(const json::value& value);

/// "onnx-local: message" and the hint on standard error; with `as_json` one object
/// `{"error": {"code", "message", "hint"}}` on standard output, so that a script that reads JSON
/// there always finds some.
void print_error(const Error& error, bool as_json);
void print_warning(std::string_view text);

/// "97.5 MB"; decimal, as disks are sold.
std::string human_bytes(std::uint64_t bytes);

/// Columns padded to their widest cell, two spaces between; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace onnxlocal
