#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace onnxlocal::anthropic {

/// How an error travels: the status line, the `type` of the body, and what the retry headers say.
struct HttpError {
  unsigned status = 500;
  std::string_view type = "api_error";
  /// `x-should-retry`, where the client would guess wrong from the status alone.
  std::optional<bool> should_retry;
  std::optional<unsigned> retry_after_s;
};

/// The one mapping of our codes to Anthropic's statuses and types.
HttpError to_http_error(ErrorCode code);

/// The `type` for an error that HTTP itself found (no route, wrong method, time-out).
std::string_view error_type_of_status(unsigned status);

/// `{"type":"error","error":{"type","message","details"?},"request_id"}`. `details_code` fills
/// `error.details.error_code`; empty leaves `details` out.
std::string error_body(std::string_view type, std::string_view message, std::string_view request_id,
                       std::string_view details_code = {});

}  // namespace onnxlocal::anthropic
