#pragma once

#include <chrono>
#include <optional>

#include "api/fields.h"

namespace onnxlocal::anthropic {

/// How long `cache_control` of an object asks to keep what ends there; empty where it has none.
/// Errors: invalid_request (another type, another ttl).
Result<std::optional<std::chrono::seconds>> parse_cache_control(const Fields& fields);

}  // namespace onnxlocal::anthropic
