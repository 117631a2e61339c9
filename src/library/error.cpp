#include "onnxlocal/error.h"

namespace onnxlocal::embed {

bool is_retryable(ErrorCode code) {
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

const char* to_string(ErrorCode code) {
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
  return "internal";
}

}  // namespace onnxlocal::embed
