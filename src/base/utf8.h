#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace onnxlocal {

/// True where `text` is well-formed UTF-8 (RFC 3629).
bool is_valid_utf8(std::string_view text);

/// Length in bytes of the longest prefix that ends between characters: what can be sent while the
/// rest of a character is still to come.
std::size_t complete_utf8_prefix(std::string_view text);

/// `text` with each ill-formed sequence replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

}  // namespace onnxlocal
