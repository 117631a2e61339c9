#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace onnxlocal {
namespace {

std::vector<std::uint32_t> borders(std::string_view text) {
  std::vector<std::uint32_t> border(text.size() + 1, 0);
  std::uint32_t length = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    while (length > 0 && text[i] != text[length]) length = border[length];
    if (text[i] == text[length]) ++length;
    border[i + 1] = length;
  }
  return border;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stop_strings) {
  patterns_.reserve(stop_strings.size());
  for (std::string& text : stop_strings) {
    auto fallback = borders(text);
    patterns_.push_back({.text = std::move(text), .fallback = std::move(fallback), .matched = 0});
  }
}

void StopMatcher::advance(Pattern& pattern, char byte) {
  std::uint32_t& matched = pattern.matched;
  while (matched > 0 && pattern.text[matched] != byte) matched = pattern.fallback[matched];
  if (pattern.text[matched] == byte) ++matched;
}

StopMatcher::Release StopMatcher::push(std::string_view text) {
  if (patterns_.empty()) return {.text = std::string(text), .stop_string = std::nullopt};
  for (const char byte : text) {
    held_.push_back(byte);
    const Pattern* found = nullptr;
    for (Pattern& pattern : patterns_) {
      advance(pattern, byte);
      const bool is_complete = pattern.matched == pattern.text.size();
      if (is_complete && (!found || pattern.text.size() > found->text.size())) found = &pattern;
    }
    if (found) {
      held_.resize(held_.size() - found->text.size());
      return {.text = std::exchange(held_, {}), .stop_string = found->text};
    }
  }
  std::size_t keep = 0;
  for (const Pattern& pattern : patterns_) {
    keep = std::max(keep, static_cast<std::size_t>(pattern.matched));
  }
  Release release{.text = held_.substr(0, held_.size() - keep), .stop_string = std::nullopt};
  held_.erase(0, held_.size() - keep);
  return release;
}

std::string StopMatcher::flush() { return std::exchange(held_, {}); }

}  // namespace onnxlocal
