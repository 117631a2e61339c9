#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/result.h"

namespace onnxlocal {

static_assert(std::endian::native == std::endian::little, "GGUF values are read as they lie");

/// A position in a GGUF file that cannot leave it.
class GgufCursor {
 public:
  explicit GgufCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::uint64_t offset() const { return offset_; }
  std::uint64_t remaining() const { return bytes_.size() - offset_; }

  /// The next `count` bytes. `what` names them in the error. Errors: model_corrupt.
  Result<std::span<const std::byte>> take(std::uint64_t count, std::string_view what);

  template <class T>
  Result<T> read(std::string_view what) {
    TRY(const std::span<const std::byte> bytes, take(sizeof(T), what));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

  /// A length and that many bytes, at most `bytes_max`.
  Result<std::string_view> read_string(std::uint64_t bytes_max, std::string_view what);

  /// A count of things of at least `item_bytes` each: refused over `count_max`, and where so many
  /// cannot lie in what is left of the file.
  Result<std::uint64_t> read_count(std::uint64_t count_max, std::uint64_t item_bytes,
                                   std::string_view what);

  /// The value at `offset` is not what it must be.
  Error bad(std::uint64_t offset, std::string_view what, std::string_view expected,
            std::string_view found) const;
  /// The file ends too early: it should have had `size_needed` bytes at least.
  Error truncated(std::uint64_t offset, std::string_view what, std::uint64_t size_needed) const;

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t offset_ = 0;
};

}  // namespace onnxlocal
