#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onnxlocal {

/// Finds stop strings in text that comes in pieces, and holds back what may yet become one. The
/// result does not depend on how the text was cut: the stop string that is complete first wins, and
/// of those complete at the same byte the longest, so that the least of any of them shows. One
/// automaton (Knuth, Morris and Pratt 1977) per stop string; linear in the text. One thread.
class StopMatcher {
 public:
  /// Stop strings are not empty and well-formed UTF-8, so that what is held back begins between
  /// characters.
  explicit StopMatcher(std::vector<std::string> stop_strings);

  struct Release {
    std::string text;  ///< Will not be taken back and holds no part of a stop string.
    std::optional<std::string> stop_string;  ///< Found: nothing more may be pushed.
  };
  Release push(std::string_view text);
  /// What is still held back: no stop string came of it.
  std::string flush();

 private:
  struct Pattern {
    std::string text;
    std::vector<std::uint32_t> fallback;  ///< Longest border of the first i bytes, at i.
    std::uint32_t matched = 0;            ///< The text so far ends in this many of its bytes.
  };
  static void advance(Pattern& pattern, char byte);

  std::vector<Pattern> patterns_;
  std::string held_;
};

}  // namespace onnxlocal
