#pragma once

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace onnxlocal::anthropic {

/// RFC 3339, in UTC: "2026-11-21T18:25:00Z".
inline std::string to_rfc3339(std::chrono::sys_seconds time) {
  const auto seconds = std::chrono::system_clock::to_time_t(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

}  // namespace onnxlocal::anthropic
