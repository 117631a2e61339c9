#include "api/openai/errors.h"

#include "api/fields.h"
#include "base/json.h"

namespace onnxlocal::openai {

namespace {

constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kServer = "server_error";

struct Kind {
  unsigned status = 500;
  std::string_view type = kServer;
  std::string_view code = {};
  std::optional<bool> should_retry = {};
  std::optional<unsigned> retry_after_s = {};
};

Kind kind_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidRequest: return {.status = 400, .type = kInvalid};
    case ErrorCode::kPromptTooLong:
      return {.status = 400, .type = kInvalid, .code = "context_length_exceeded"};
    case ErrorCode::kNotFound: return {.status = 404, .type = kInvalid, .code = "not_found"};
    case ErrorCode::kTooLarge: return {.status = 413, .type = kInvalid, .code = "too_large"};
    // Clients repeat a 500, but a broken model stays broken.
    case ErrorCode::kModelCorrupt:
    case ErrorCode::kUnsupported:
    case ErrorCode::kDiskFull: return {.status = 500, .should_retry = false};
    case ErrorCode::kOverloaded:
      return {.status = 503, .code = "overloaded", .should_retry = true, .retry_after_s = 1};
    case ErrorCode::kTimeout: return {.status = 504, .code = "timeout", .should_retry = true};
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return {.status = 503, .code = "unavailable", .should_retry = true, .retry_after_s = 2};
    case ErrorCode::kInternal: return {.status = 500, .should_retry = true};
  }
  return {};
}

Kind kind_of_status(unsigned status) {
  switch (status) {
    case 401: return {.status = status, .type = kInvalid, .code = "invalid_api_key"};
    case 403: return {.status = status, .type = kInvalid, .code = "forbidden"};
    case 404: return {.status = status, .type = kInvalid, .code = "not_found"};
    case 429: return {.status = status, .type = "requests", .code = "rate_limit_exceeded"};
    default: return {.status = status, .type = status >= 500 ? kServer : kInvalid};
  }
}

json::value text_or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

std::string body_of(std::string_view message, const Kind& kind, std::string_view param) {
  return json::serialize(json::object{{"error", json::object{{"message", message},
                                                             {"type", kind.type},
                                                             {"param", text_or_null(param)},
                                                             {"code", text_or_null(kind.code)}}}});
}

/// The kind with the code that this one error has.
Kind kind_of(const Error& error, std::string_view code) {
  Kind kind = kind_of(error.code);
  if (error.code == ErrorCode::kNotFound && field_of(error) == "model") {
    kind.code = "model_not_found";
  }
  if (!code.empty()) kind.code = code;
  return kind;
}

}  // namespace

ErrorReply error_reply(const Error& error, std::string_view code) {
  const Kind kind = kind_of(error, code);
  return {.status = kind.status,
          .body = body_of(describe(error), kind, field_of(error)),
          .should_retry = kind.should_retry,
          .retry_after_s = kind.retry_after_s};
}

ErrorReply status_reply(unsigned status, std::string_view message) {
  return {.status = status, .body = body_of(message, kind_of_status(status), {})};
}

std::string error_body(const Error& error, std::string_view code) {
  return body_of(describe(error), kind_of(error, code), field_of(error));
}

}  // namespace onnxlocal::openai
