#include "api/anthropic/thinking_signature.h"

#include <span>

#include "base/base64.h"
#include "base/hash.h"
#include "base/utf8.h"

namespace onnxlocal::anthropic {

namespace {

constexpr std::string_view kMark = "onnx-local:1:";
constexpr std::size_t kChecksumDigits = 8;

std::string checksum(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text))).substr(0, kChecksumDigits);
}

}  // namespace

std::string thinking_signature(std::string_view text) {
  std::string signed_text(kMark);
  signed_text += checksum(text);
  signed_text += text;
  return to_base64(signed_text);
}

std::optional<std::string> text_of_signature(std::string_view signature) {
  const std::optional<std::string> bytes = from_base64(signature);
  if (!bytes || !bytes->starts_with(kMark)) return std::nullopt;
  const std::string_view rest = std::string_view(*bytes).substr(kMark.size());
  if (rest.size() < kChecksumDigits) return std::nullopt;
  const std::string_view text = rest.substr(kChecksumDigits);
  if (rest.substr(0, kChecksumDigits) != checksum(text) || !is_valid_utf8(text)) {
    return std::nullopt;
  }
  return std::string(text);
}

}  // namespace onnxlocal::anthropic
