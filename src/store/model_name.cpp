#include "store/model_name.h"

#include <algorithm>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

constexpr std::size_t kNameSizeMax = 128;
constexpr std::string_view kIdPrefix = "onnx-local/";

// Not std::isalnum: a name must not depend on the locale.
constexpr bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr bool is_name_character(char c) {
  return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
}

constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool is_model_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameSizeMax && is_alphanumeric(name.front()) &&
         std::ranges::all_of(name, is_name_character);
}

Result<void> check_model_name(std::string_view name) {
  if (is_model_name(name)) return {};
  return std::unexpected(invalid_request(
      fmt::format("\"{}\" cannot be a model's name", name),
      fmt::format("Use letters, digits, '.', '_' and '-', first a letter or digit, at most {}.",
                  kNameSizeMax)));
}

Result<std::string> model_name_from_file(const std::filesystem::path& file) {
  std::string name = file.stem().string();
  for (char& c : name) c = is_name_character(c) ? to_lower(c) : '-';
  const auto first = std::ranges::find_if(name, is_alphanumeric);
  name.erase(name.begin(), first);
  if (name.size() > kNameSizeMax) name.resize(kNameSizeMax);
  TRY_VOID(check_model_name(name));
  return name;
}

std::string_view without_prefix(std::string_view name) {
  if (name.starts_with(kIdPrefix)) name.remove_prefix(kIdPrefix.size());
  return name;
}

}  // namespace onnxlocal
