#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "generation/request.h"

namespace onnxlocal::anthropic {

/// Why a request was refused, and the machine-readable code that clients act on, where there is
/// one.
struct RequestError {
  RequestError(Error why, std::string code = {})  // NOLINT: an Error is a RequestError, for TRY.
      : error(std::move(why)), details_code(std::move(code)) {}

  Error error;
  std::string details_code;  ///< `error.details.error_code`.
};

struct MessagesRequest {
  GenerationRequest generation;
  bool stream = false;
  std::string model;               ///< As written, for the echo.
  std::vector<std::string> notes;  ///< What was accepted and not acted on, for the log.
};

enum class RequestKind {
  kCreate,       ///< POST /v1/messages
  kCountTokens,  ///< POST /v1/messages/count_tokens: the same without `max_tokens`.
};

/// Reads the JSON text of a request. Unknown fields are ignored; every malformed one is refused
/// with its path, as Anthropic does: `messages.0.content: Field required`.
///
/// The messages come out in one canonical form, so that the same conversation gives the same tokens
/// however its JSON was written: one text per message (a string is one block; blocks are joined by
/// a blank line, an assistant's without one), neighbours of one role merged, all system text in one
/// message in front. Billing blocks, cache_control and old thinking are left out. A `system`
/// message right after the first user message joins the system text (so that conversations share
/// the prefix); a later one becomes marked user text where it stands. Appending messages never
/// moves earlier ones.
///
/// Errors: invalid_request, too_large.
std::expected<MessagesRequest, RequestError> parse_messages_request(std::string_view body,
                                                                    RequestKind kind);

}  // namespace onnxlocal::anthropic
