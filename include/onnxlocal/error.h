#pragma once

#include <expected>
#include <string>

#include "onnxlocal/export.h"

namespace onnxlocal::embed {

/// What kind of trouble it is.
enum class ErrorCode {
  kInvalidRequest,  ///< An option or message is wrong: the message names it.
  kPromptTooLong,   ///< The prompt does not fit the model's context window.
  kNotFound,        ///< No model by that name or path.
  kTooLarge,        ///< A file or count is over a stated limit.
  kModelCorrupt,    ///< The model's files are missing, truncated or inconsistent.
  kUnsupported,     ///< A sound model that this library has no code for.
  kDiskFull,        ///< No room for files that are derived from the model.
  kOverloaded,      ///< The queue is full: try again later.
  kCancelled,       ///< Stopped by a callback, or by `dispose`.
  kTimeout,         ///< The time limit passed.
  kUnavailable,     ///< Not initialized, or disposed of.
  kInternal,        ///< A fault of this library, or of one below it.
};

/// An error as a value: nothing here throws.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  ///< What, expected, found, where.
  std::string hint;     ///< What to do; may be empty.
};

template <class T>
using Result = std::expected<T, Error>;

/// Whether the same call may succeed later without a change.
ONNXLOCAL_EXPORT bool is_retryable(ErrorCode code);

/// The code's name in snake_case.
ONNXLOCAL_EXPORT const char* to_string(ErrorCode code);

}  // namespace onnxlocal::embed
