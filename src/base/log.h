#pragma once

#include <string_view>

#include <spdlog/spdlog.h>

#include "base/result.h"

namespace onnxlocal {

enum class LogLevel { kVerbose, kInfo, kWarning, kError };

/// "verbose", "info", "warning", "error".
Result<LogLevel> parse_log_level(std::string_view text);
std::string_view to_string(LogLevel level);

/// Sends log lines to standard error from this level on. Call once, from `main` or the library's
/// `create`; prompts and secrets are never logged at any level.
void set_log_level(LogLevel level);

}  // namespace onnxlocal

#define LOG_VERBOSE(...) SPDLOG_DEBUG(__VA_ARGS__)
#define LOG_INFO(...) SPDLOG_INFO(__VA_ARGS__)
#define LOG_WARNING(...) SPDLOG_WARN(__VA_ARGS__)
#define LOG_ERROR(...) SPDLOG_ERROR(__VA_ARGS__)
