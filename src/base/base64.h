#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace onnxlocal {

/// RFC 4648 section 4, with padding.
std::string to_base64(std::string_view bytes);

/// Takes text with or without padding; line breaks are skipped. Empty where it is no base64.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace onnxlocal
