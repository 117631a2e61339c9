#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace onnxlocal::anthropic {

/// What stands in the `signature` of a thinking block: the text itself, so that a client which is
/// shown none of it (`display: omitted`) still brings it back in the history. Base64 of a mark with
/// a version, eight hexadecimal digits of the text's SHA-256, and the text. No secret: what a model
/// thought is the client's own.
std::string thinking_signature(std::string_view text);

/// The text; empty where the signature is not one of ours, or was damaged.
std::optional<std::string> text_of_signature(std::string_view signature);

}  // namespace onnxlocal::anthropic
