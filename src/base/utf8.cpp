#include "base/utf8.h"

#include <cstdint>

namespace onnxlocal {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// What stands at the start of a text: `size` bytes that are one character, or the longest part of
/// one (Unicode 3.9, "maximal subpart"), or one byte that cannot start a character.
struct Piece {
  std::size_t size = 0;
  bool is_character = false;
  /// The text ended inside a character that more bytes could complete.
  bool is_unfinished = false;
};

/// The second byte's range depends on the first: it keeps out long forms, surrogates and what is
/// above U+10FFFF (RFC 3629, section 4).
struct Lead {
  std::size_t length = 0;
  std::uint8_t second_min = 0x80;
  std::uint8_t second_max = 0xBF;
};

Lead classify(std::uint8_t byte) {
  if (byte < 0x80) return {.length = 1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {.length = 2};
  if (byte == 0xE0) return {.length = 3, .second_min = 0xA0};
  if (byte == 0xED) return {.length = 3, .second_max = 0x9F};
  if (byte < 0xF0) return {.length = 3};
  if (byte == 0xF0) return {.length = 4, .second_min = 0x90};
  if (byte < 0xF4) return {.length = 4};
  if (byte == 0xF4) return {.length = 4, .second_max = 0x8F};
  return {};
}

Piece next_piece(std::string_view text) {
  const Lead lead = classify(static_cast<std::uint8_t>(text[0]));
  if (lead.length == 0) return {.size = 1};
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {.size = i, .is_unfinished = true};
    const auto byte = static_cast<std::uint8_t>(text[i]);
    const std::uint8_t low = i == 1 ? lead.second_min : 0x80;
    const std::uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (byte < low || byte > high) return {.size = i};
  }
  return {.size = lead.length, .is_character = true};
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const Piece piece = next_piece(text);
    if (!piece.is_character) return false;
    text.remove_prefix(piece.size);
  }
  return true;
}

std::size_t complete_utf8_prefix(std::string_view text) {
  // Only the last three bytes can belong to a character that is still to come.
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<std::uint8_t>(text[text.size() - back]);
    const bool is_continuation = (byte & 0xC0) == 0x80;
    if (is_continuation) continue;
    const bool is_unfinished = next_piece(text.substr(text.size() - back)).is_unfinished;
    return is_unfinished ? text.size() - back : text.size();
  }
  return text.size();
}

std::string to_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const Piece piece = next_piece(text);
    valid.append(piece.is_character ? text.substr(0, piece.size) : kReplacement);
    text.remove_prefix(piece.size);
  }
  return valid;
}

}  // namespace onnxlocal
