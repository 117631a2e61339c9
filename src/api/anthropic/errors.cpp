#include "api/anthropic/errors.h"

#include "base/json.h"

namespace onnxlocal::anthropic {

HttpError to_http_error(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidRequest:
    case ErrorCode::kPromptTooLong:
      return {
          .status = 400, .type = "invalid_request_error", .should_retry = {}, .retry_after_s = {}};
    case ErrorCode::kNotFound:
      return {.status = 404, .type = "not_found_error", .should_retry = {}, .retry_after_s = {}};
    case ErrorCode::kTooLarge:
      return {.status = 413, .type = "request_too_large", .should_retry = {}, .retry_after_s = {}};
    // Clients repeat a 500, but a broken model stays broken.
    case ErrorCode::kModelCorrupt:
    case ErrorCode::kUnsupported:
    case ErrorCode::kDiskFull:
      return {.status = 500, .type = "api_error", .should_retry = false, .retry_after_s = {}};
    case ErrorCode::kOverloaded:
      return {.status = 529, .type = "overloaded_error", .should_retry = true, .retry_after_s = 1};
    case ErrorCode::kTimeout:
      return {.status = 504, .type = "timeout_error", .should_retry = true, .retry_after_s = {}};
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return {.status = 503, .type = "api_error", .should_retry = true, .retry_after_s = 2};
    case ErrorCode::kInternal:
      return {.status = 500, .type = "api_error", .should_retry = true, .retry_after_s = {}};
  }
  return {};
}

std::string_view error_type_of_status(unsigned status) {
  switch (status) {
    case 401: return "authentication_error";
    case 402: return "billing_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408:
    case 504: return "timeout_error";
    case 409: return "conflict_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 529: return "overloaded_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string error_body(std::string_view type, std::string_view message, std::string_view request_id,
                       std::string_view details_code) {
  json::object error{{"type", type}, {"message", message}};
  if (!details_code.empty()) {
    error["details"] = json::object{{"error_code", details_code}, {"unsupported", json::array{}}};
  }
  return json::serialize(
      json::object{{"type", "error"}, {"error", std::move(error)}, {"request_id", request_id}});
}

}  // namespace onnxlocal::anthropic
