#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "api/anthropic/events.h"
#include "base/result.h"
#include "provider/provider.h"
#include "server/http_message.h"

namespace onnxlocal {

/// A generation that a handler began: its events come into the request's inbox.
struct PendingGeneration {
  ActiveGeneration active;
  anthropic::MessageIdentity identity;
  bool stream = false;
  /// Counts the prompt, for a `message_start` that cannot wait for the first token. On a worker.
  std::move_only_function<Result<std::uint32_t>()> count_prompt;
};

/// What a handler answers: a response, or a generation that becomes one.
using Reply = std::variant<HttpResponse, PendingGeneration>;

}  // namespace onnxlocal
