#include "base/error.h"

#include <fmt/format.h>

#include <utility>

namespace onnxlocal {

namespace {
Error make(ErrorCode code, std::string message, std::string hint) {
  return Error{.code = code, .message = std::move(message), .hint = std::move(hint)};
}
}  // namespace

Error invalid_request(std::string message, std::string hint) {
  return make(ErrorCode::kInvalidRequest, std::move(message), std::move(hint));
}
Error prompt_too_long(std::size_t prompt_tokens, std::size_t prompt_tokens_max) {
  // The exact words are those that clients recognise and compact on.
  return make(
      ErrorCode::kPromptTooLong,
      fmt::format("prompt is too long: {} tokens > {} maximum", prompt_tokens, prompt_tokens_max),
      {});
}
Error not_found(std::string message, std::string hint) {
  return make(ErrorCode::kNotFound, std::move(message), std::move(hint));
}
Error too_large(std::string message, std::string hint) {
  return make(ErrorCode::kTooLarge, std::move(message), std::move(hint));
}
Error model_corrupt(std::string message, std::string hint) {
  return make(ErrorCode::kModelCorrupt, std::move(message), std::move(hint));
}
Error unsupported(std::string message, std::string hint) {
  return make(ErrorCode::kUnsupported, std::move(message), std::move(hint));
}
Error disk_full(std::string message, std::string hint) {
  return make(ErrorCode::kDiskFull, std::move(message), std::move(hint));
}
Error overloaded(std::string message, std::string hint) {
  return make(ErrorCode::kOverloaded, std::move(message), std::move(hint));
}
Error cancelled(std::string message) { return make(ErrorCode::kCancelled, std::move(message), {}); }
Error timed_out(std::string message, std::string hint) {
  return make(ErrorCode::kTimeout, std::move(message), std::move(hint));
}
Error unavailable(std::string message, std::string hint) {
  return make(ErrorCode::kUnavailable, std::move(message), std::move(hint));
}
Error internal_error(std::string message, std::string hint) {
  return make(ErrorCode::kInternal, std::move(message), std::move(hint));
}

bool retryable(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOverloaded:
    case ErrorCode::kTimeout:
    case ErrorCode::kUnavailable:
    case ErrorCode::kInternal: return true;
    case ErrorCode::kInvalidRequest:
    case ErrorCode::kPromptTooLong:
    case ErrorCode::kNotFound:
    case ErrorCode::kTooLarge:
    case ErrorCode::kModelCorrupt:
    case ErrorCode::kUnsupported:
    case ErrorCode::kDiskFull:
    case ErrorCode::kCancelled: return false;
  }
  return false;
}

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidRequest: return "invalid_request";
    case ErrorCode::kPromptTooLong: return "prompt_too_long";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kTooLarge: return "too_large";
    case ErrorCode::kModelCorrupt: return "model_corrupt";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kDiskFull: return "disk_full";
    case ErrorCode::kOverloaded: return "overloaded";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kTimeout: return "timeout";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kInternal: return "internal";
  }
  return "unknown";
}

std::string describe(const Error& error) {
  return error.hint.empty() ? error.message : fmt::format("{} ({})", error.message, error.hint);
}

Error with_context(std::string_view where, Error error) {
  error.message = fmt::format("{}: {}", where, error.message);
  return error;
}

}  // namespace onnxlocal
