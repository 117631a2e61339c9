#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace onnxlocal {

/// "512M", "8G", "1T", "4096K" or plain bytes, powers of 1024. Empty for anything else.
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace onnxlocal
