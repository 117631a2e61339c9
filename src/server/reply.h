#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "api/response_encoder.h"
#include "base/result.h"
#include "provider/provider.h"
#include "server/http_message.h"

namespace onnxlocal {

/// A generation that a handler began: its events come into the request's inbox.
struct PendingGeneration {
  ActiveGeneration active;
  std::unique_ptr<ResponseEncoder> encoder;  ///< Never null.
  /// Counts the prompt, for a stream whose beginning tells it and cannot wait for the first token;
  /// empty where the beginning does not tell. On a worker.
  std::move_only_function<Result<std::uint32_t>()> count_prompt;
};

/// A body that is too large to hold at once.
struct BodyStream {
  std::string_view content_type;
  std::string first;
  /// The next part; nothing at the end. On a worker.
  std::move_only_function<Result<std::string>()> next;
};

/// What a handler answers: a response, or what becomes one.
using Reply = std::variant<HttpResponse, PendingGeneration, BodyStream>;

}  // namespace onnxlocal
