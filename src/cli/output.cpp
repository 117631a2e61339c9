#include "cli/output.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

/// Characters, near enough: bytes that begin one.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

/// Boost.JSON writes 1.5 as 1.5E0; people read what we print, so numbers are written as they are
/// said.
void append_json(const json::value& value, std::string& text) {
  if (value.is_double()) {
    const double number = value.get_double();
    text += std::isfinite(number) ? fmt::format("{:.10g}", number) : "null";
  } else if (value.is_array()) {
    std::string_view separator = "[";
    for (const json::value& element : value.get_array()) {
      text += std::exchange(separator, ",");
      append_json(element, text);
    }
    text += value.get_array().empty() ? "[]" : "]";
  } else if (value.is_object()) {
    std::string_view separator = "{";
    for (const auto& [key, member] : value.get_object()) {
      text += std::exchange(separator, ",");
      text += json::serialize(json::value(key)) + ":";
      append_json(member, text);
    }
    text += value.get_object().empty() ? "{}" : "}";
  } else {
    text += json::serialize(value);
  }
}

}  // namespace

std::string json_text(const json::value& value) {
  std::string text;
  append_json(value, text);
  return text;
}

ExitCode exit_code(const Error& error) {
  return error.code == ErrorCode::kCancelled ? ExitCode::kInterrupted : ExitCode::kFailure;
}

void print_json(const json::value& value) {
  fmt::print("{}\n", json_text(value));
  std::fflush(stdout);
}

void print_error(const Error& error, bool as_json) {
  if (as_json) {
    print_json(json::object{
        {"error",
         {{"code", to_string(error.code)}, {"message", error.message}, {"hint", error.hint}}}});
    return;
  }
  fmt::print(stderr, "onnx-local: {}\n", error.message);
  if (!error.hint.empty()) fmt::print(stderr, "  {}\n", error.hint);
}

void print_warning(std::string_view text) { fmt::print(stderr, "onnx-local: warning: {}\n", text); }

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.{}f} {}", value, value < 99.95 ? 1 : 0, kUnits[unit]);
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - width(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace onnxlocal
