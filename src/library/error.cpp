#include "onnxlocal/error.h"

#include "base/error.h"

namespace onnxlocal::embed {

namespace {

onnxlocal::ErrorCode to_ours(ErrorCode code) {
  using Ours = onnxlocal::ErrorCode;
  switch (code) {
    case ErrorCode::kInvalidRequest: return Ours::kInvalidRequest;
    case ErrorCode::kPromptTooLong: return Ours::kPromptTooLong;
    case ErrorCode::kNotFound: return Ours::kNotFound;
    case ErrorCode::kTooLarge: return Ours::kTooLarge;
    case ErrorCode::kModelCorrupt: return Ours::kModelCorrupt;
    case ErrorCode::kUnsupported: return Ours::kUnsupported;
    case ErrorCode::kDiskFull: return Ours::kDiskFull;
    case ErrorCode::kOverloaded: return Ours::kOverloaded;
    case ErrorCode::kCancelled: return Ours::kCancelled;
    case ErrorCode::kTimeout: return Ours::kTimeout;
    case ErrorCode::kUnavailable: return Ours::kUnavailable;
    case ErrorCode::kInternal: return Ours::kInternal;
  }
  return Ours::kInternal;
}

}  // namespace

bool is_retryable(ErrorCode code) { return onnxlocal::retryable(to_ours(code)); }

const char* to_string(ErrorCode code) { return onnxlocal::to_string(to_ours(code)).data(); }

}  // namespace onnxlocal::embed
