#include "base/json_text.h"

#include <algorithm>
#include <cstddef>

#include "base/json.h"

namespace onnxlocal::json {

namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::size_t skip_space(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(kSpace, at), text.size());
}

/// The end of the string that starts at `at`.
std::size_t skip_string(std::string_view text, std::size_t at) {
  ++at;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return std::min(at + 1, text.size());
}

/// The end of the value that starts at `at`: past `at`, where there is anything left.
std::size_t skip_value(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at;
      continue;
    } else if (c == '}' || c == ']') {
      depth -= depth > 0 ? 1 : 0;
      ++at;
    } else if (depth > 0) {
      ++at;
      continue;
    } else {
      return std::max(at + 1, std::min(text.find_first_of(" \t\r\n,]}", at), text.size()));
    }
    if (depth == 0) return at;
  }
  return text.size();
}

/// What a string's text says; empty where it is no string.
std::optional<std::string> to_string(std::string_view quoted) {
  if (quoted.size() < 2 || quoted.front() != '"') return std::nullopt;
  if (quoted.find('\\') == std::string_view::npos) {
    return std::string(quoted.substr(1, quoted.size() - 2));
  }
  const Result<value> parsed = parse(quoted);
  if (!parsed || !parsed->is_string()) return std::nullopt;
  return std::string(parsed->get_string());
}

}  // namespace

TextView::TextView(std::string_view text) {
  const std::size_t begin = skip_space(text, 0);
  const std::size_t last = text.find_last_not_of(kSpace);
  if (last != std::string_view::npos) text_ = text.substr(begin, last + 1 - begin);
}

std::optional<TextView> TextView::member(std::string_view name) const {
  if (!text_.starts_with('{')) return std::nullopt;
  std::optional<TextView> found;
  std::size_t at = skip_space(text_, 1);
  while (at < text_.size() && text_[at] == '"') {
    const std::size_t key_end = skip_string(text_, at);
    const std::optional<std::string> key = to_string(text_.substr(at, key_end - at));
    at = skip_space(text_, key_end);
    if (at >= text_.size() || text_[at] != ':') return found;
    at = skip_space(text_, at + 1);
    const std::size_t end = skip_value(text_, at);
    if (key == name) found = TextView(text_.substr(at, end - at));
    at = skip_space(text_, end);
    if (at >= text_.size() || text_[at] != ',') return found;
    at = skip_space(text_, at + 1);
  }
  return found;
}

std::vector<TextView> TextView::elements() const {
  std::vector<TextView> found;
  if (!text_.starts_with('[')) return found;
  std::size_t at = skip_space(text_, 1);
  while (at < text_.size() && text_[at] != ']') {
    const std::size_t end = skip_value(text_, at);
    found.emplace_back(text_.substr(at, end - at));
    at = skip_space(text_, end);
    if (at >= text_.size() || text_[at] != ',') return found;
    at = skip_space(text_, at + 1);
  }
  return found;
}

std::string compact(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  std::size_t at = 0;
  while (at < text.size()) {
    if (kSpace.find(text[at]) != std::string_view::npos) {
      ++at;
    } else if (text[at] == '"') {
      const std::size_t end = skip_string(text, at);
      const std::string_view quoted = text.substr(at, end - at);
      const bool is_plain = quoted.find('\\') == std::string_view::npos;
      const std::optional<std::string> said = is_plain ? std::nullopt : to_string(quoted);
      if (said) {
        result += serialize(value(*said));
      } else {
        result += quoted;
      }
      at = end;
    } else {
      result += text[at];
      ++at;
    }
  }
  return result;
}

}  // namespace onnxlocal::json
