#include "import/gguf_cursor.h"

#include <fmt/format.h>

#include <limits>
#include <string>

namespace onnxlocal {

Error GgufCursor::bad(std::uint64_t offset, std::string_view what, std::string_view expected,
                      std::string_view found) const {
  return model_corrupt(
      fmt::format("{} at byte {}: expected {}, found {}", what, offset, expected, found),
      "the file is damaged or was not made by a GGUF writer; fetch it again");
}

Error GgufCursor::truncated(std::uint64_t offset, std::string_view what,
                            std::uint64_t size_needed) const {
  return model_corrupt(fmt::format("{} at byte {}: expected a file of at least {} bytes, found {}",
                                   what, offset, size_needed, bytes_.size()),
                       fmt::format("the download is incomplete: expected at least {} bytes, found "
                                   "{}; fetch it again",
                                   size_needed, bytes_.size()));
}

Result<std::span<const std::byte>> GgufCursor::take(std::uint64_t count, std::string_view what) {
  if (count > remaining()) {
    if (count > std::numeric_limits<std::uint64_t>::max() - offset_) {
      return std::unexpected(bad(offset_, what, fmt::format("at most {} bytes", remaining()),
                                 fmt::format("{} bytes", count)));
    }
    return std::unexpected(truncated(offset_, what, offset_ + count));
  }
  const auto taken = bytes_.subspan(offset_, count);
  offset_ += count;
  return taken;
}

Result<std::string_view> GgufCursor::read_string(std::uint64_t bytes_max, std::string_view what) {
  const std::uint64_t start = offset_;
  TRY(const auto length, read<std::uint64_t>(what));
  if (length > bytes_max) {
    return std::unexpected(bad(start, what, fmt::format("at most {} bytes", bytes_max),
                               fmt::format("a length of {}", length)));
  }
  TRY(const std::span<const std::byte> bytes, take(length, what));
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::uint64_t> GgufCursor::read_count(std::uint64_t count_max, std::uint64_t item_bytes,
                                             std::string_view what) {
  const std::uint64_t start = offset_;
  TRY(const auto count, read<std::uint64_t>(what));
  if (count > count_max) {
    return std::unexpected(
        bad(start, what, fmt::format("at most {}", count_max), fmt::format("{}", count)));
  }
  if (count > remaining() / item_bytes) {
    // `count_max` keeps this product small, or the count is far beyond any file.
    if (count > (std::numeric_limits<std::uint64_t>::max() - offset_) / item_bytes) {
      return std::unexpected(bad(start, what, fmt::format("at most {}", remaining() / item_bytes),
                                 fmt::format("{}", count)));
    }
    return std::unexpected(truncated(start, what, offset_ + count * item_bytes));
  }
  return count;
}

}  // namespace onnxlocal
