#pragma once

#include <expected>
#include <utility>

#include "base/error.h"  // IWYU pragma: export

namespace onnxlocal {

/// A value or an `Error`. Every function that can fail on outside input returns one.
template <class T>
using Result = std::expected<T, Error>;

}  // namespace onnxlocal

#define ONNXLOCAL_CONCAT_INNER(a, b) a##b
#define ONNXLOCAL_CONCAT(a, b) ONNXLOCAL_CONCAT_INNER(a, b)
#define ONNXLOCAL_TRY_IMPL(temporary, declaration, ...)   \
  auto temporary = (__VA_ARGS__);                         \
  if (!temporary) {                                       \
    return std::unexpected(std::move(temporary).error()); \
  }                                                       \
  declaration = *std::move(temporary)

/// `TRY(auto model, load(path));` declares `model`, or returns the error.
#define TRY(declaration, ...) \
  ONNXLOCAL_TRY_IMPL(ONNXLOCAL_CONCAT(try_result_, __LINE__), declaration, __VA_ARGS__)

/// The same for a `Result<void>`: `TRY_VOID(write(path));`
#define TRY_VOID(...)                                        \
  do {                                                       \
    if (auto try_result = (__VA_ARGS__); !try_result) {      \
      return std::unexpected(std::move(try_result).error()); \
    }                                                        \
  } while (false)
