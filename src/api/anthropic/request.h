#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "api/anthropic/documents.h"
#include "api/anthropic/settings.h"
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

/// How an answer is told, as far as the client chooses that.
struct ReplyStyle {
  ThinkingDisplay thinking_display = ThinkingDisplay::kShown;
  /// Thinking that is omitted is told as a count, from time to time (a beta of the clients).
  bool counts_thinking = false;
  std::chrono::seconds cache_ttl{300};  ///< What `usage` counts newly cached tokens under.
};

struct MessagesRequest {
  GenerationRequest generation;
  bool stream = false;
  std::string model;  ///< As written, for the echo.
  ReplyStyle style;
};

enum class RequestKind {
  kCreate,       ///< POST /v1/messages
  kCountTokens,  ///< POST /v1/messages/count_tokens: the same without `max_tokens`.
};

/// What decoding needs beside the body.
struct DecodeOptions {
  std::string_view betas = {};  ///< The `anthropic-beta` header: a list with commas.
  PdfReader read_pdf = {};      ///< Without it PDF files are refused.
};

/// Reads the JSON text of a request. Unknown fields are ignored; every malformed one is refused
/// with its path, as Anthropic does: `messages.0.content: Field required`. Schemas and the inputs
/// of calls are the client's own text, without the white space between its tokens.
///
/// The messages come out in one canonical form, so that the same conversation gives the same tokens
/// however its JSON was written: a string is one text block; neighbouring texts are one (joined by
/// a blank line, an assistant's without one), as are neighbours of one role; results of calls come
/// first in their message; documents are text; all system text is one message in front. Billing
/// blocks, cache_control, callers and citations are left out. A `system` message right after the
/// first user message joins the system text (so that conversations share the prefix); a later one
/// becomes marked user text where it stands. Appending messages never moves earlier ones.
///
/// Errors: invalid_request, too_large; what `read_pdf` gives.
std::expected<MessagesRequest, RequestError> parse_messages_request(
    std::string_view body, RequestKind kind, const DecodeOptions& options = {});

}  // namespace onnxlocal::anthropic
