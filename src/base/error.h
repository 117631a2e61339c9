#pragma once

#include <string>
#include <string_view>

namespace onnxlocal {

/// What kind of trouble it is. Wire formats map these once (`api/anthropic/errors.cpp`), with a
/// `switch` that has no default, so that a new code does not compile until it is mapped.
enum class ErrorCode {
  kInvalidRequest,  ///< The caller sent something wrong: the caller can mend it.
  kPromptTooLong,   ///< The prompt does not fit the model's context window.
  kNotFound,        ///< A model, file or entry by that name does not exist.
  kTooLarge,        ///< A body, file or count is over a stated limit.
  kModelCorrupt,    ///< A model's files are missing, truncated or inconsistent.
  kUnsupported,     ///< The input is sound, but we have no code for it.
  kDiskFull,        ///< No room to write.
  kOverloaded,      ///< A queue or budget is full: try again later.
  kCancelled,       ///< The caller asked to stop, or went away.
  kTimeout,         ///< A deadline passed.
  kUnavailable,     ///< Something needed is not there now (loading, shutting down, no network).
  kInternal,        ///< Our own fault, or a library's.
};

/// An error as a value. `message` says what, expected, found, where; `hint` says what to do.
/// Neither holds secrets: what may hold them goes to the log.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string hint;
};

Error invalid_request(std::string message, std::string hint = {});
Error prompt_too_long(std::size_t prompt_tokens, std::size_t prompt_tokens_max);
Error not_found(std::string message, std::string hint = {});
Error too_large(std::string message, std::string hint = {});
Error model_corrupt(std::string message, std::string hint = {});
Error unsupported(std::string message, std::string hint = {});
Error disk_full(std::string message, std::string hint = {});
Error overloaded(std::string message, std::string hint = {});
Error cancelled(std::string message = "cancelled");
Error timed_out(std::string message, std::string hint = {});
Error unavailable(std::string message, std::string hint = {});
Error internal_error(std::string message, std::string hint = {});

/// True where the same request may succeed later without a change.
bool retryable(ErrorCode code);

/// The code's name in snake_case, for logs and `--json`.
std::string_view to_string(ErrorCode code);

/// `message`, and the hint after it where there is one: "... (hint)". For people.
std::string describe(const Error& error);

/// The same error with `where: ` before its message.
Error with_context(std::string_view where, Error error);

}  // namespace onnxlocal
