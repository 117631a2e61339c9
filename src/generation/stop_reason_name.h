#pragma once

#include <string_view>

#include "generation/event.h"

namespace onnxlocal {

/// Our own names, for people and metrics; each wire format has its own.
constexpr std::string_view to_string(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfTurn: return "end_turn";
    case StopReason::kTokensMax: return "max_tokens";
    case StopReason::kStopString: return "stop_sequence";
    case StopReason::kContextFull: return "context_full";
    case StopReason::kToolUse: return "tool_use";
  }
  return "end_turn";
}

}  // namespace onnxlocal
