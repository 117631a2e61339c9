#include "api/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/utf8.h"

namespace onnxlocal {

namespace {
/// Whole numbers above this lose digits as a double; more is never meant.
constexpr double kWholeMax = 9007199254740992.0;
constexpr std::string_view kSeparator = ": ";
constexpr std::size_t kShownBytesMax = 128;
}  // namespace

Error field_error(std::string_view path, std::string_view what) {
  return path.empty() ? invalid_request(std::string(what))
                      : invalid_request(fmt::format("{}: {}", path, what));
}

std::string_view field_of(const Error& error) {
  const std::string_view message = error.message;
  const auto end = message.find(kSeparator);
  if (end == std::string_view::npos) return {};
  const std::string_view path = message.substr(0, end);
  const bool is_path = std::ranges::all_of(path, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
  return is_path ? path : std::string_view();
}

std::string_view shown(std::string_view text) {
  return text.substr(0, complete_utf8_prefix(text.substr(0, kShownBytesMax)));
}

Result<Fields> Fields::of(const json::value& value, std::string path) {
  const json::object* object = value.if_object();
  if (object == nullptr) {
    return std::unexpected(field_error(path, "Input should be an object"));
  }
  return Fields(object, std::move(path));
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const json::value* Fields::find(std::string_view name) const {
  const json::value* value = object_->if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<const json::value*> Fields::require(std::string_view name) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::unexpected(field_error(path_of(name), "Field required"));
  return value;
}

Result<std::string_view> Fields::require_text(std::string_view name) const {
  TRY(const json::value* value, require(name));
  if (!value->is_string()) {
    return std::unexpected(field_error(path_of(name), "Input should be a valid string"));
  }
  return std::string_view(value->get_string());
}

Result<Fields> Fields::require_object(std::string_view name) const {
  TRY(const json::value* value, require(name));
  return of(*value, path_of(name));
}

Result<std::optional<double>> Fields::number(std::string_view name, double least,
                                             double most) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) {
    return std::unexpected(field_error(path_of(name), "Input should be a valid number"));
  }
  const double number = value->to_number<double>();
  if (!(number >= least)) {
    return std::unexpected(field_error(
        path_of(name), fmt::format("Input should be greater than or equal to {}", least)));
  }
  if (!(number <= most)) {
    return std::unexpected(
        field_error(path_of(name), fmt::format("Input should be less than or equal to {}", most)));
  }
  return std::optional(number);
}

Result<std::optional<std::uint32_t>> Fields::whole_number(std::string_view name,
                                                          std::uint32_t least) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::optional<std::uint32_t>();
  const double number = value->is_number() ? value->to_number<double>() : 0.5;
  if (std::floor(number) != number || std::abs(number) > kWholeMax) {
    return std::unexpected(field_error(path_of(name), "Input should be a valid integer"));
  }
  if (number < static_cast<double>(least)) {
    return std::unexpected(field_error(
        path_of(name), fmt::format("Input should be greater than or equal to {}", least)));
  }
  constexpr double kMost = std::numeric_limits<std::uint32_t>::max();
  return std::optional(static_cast<std::uint32_t>(std::min(number, kMost)));
}

Result<std::optional<bool>> Fields::boolean(std::string_view name) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_bool()) {
    return std::unexpected(field_error(path_of(name), "Input should be a valid boolean"));
  }
  return std::optional(value->get_bool());
}

Result<std::optional<std::string_view>> Fields::text(std::string_view name) const {
  if (find(name) == nullptr) return std::optional<std::string_view>();
  TRY(const std::string_view text, require_text(name));
  return std::optional(text);
}

Result<std::optional<Fields>> Fields::object(std::string_view name) const {
  if (find(name) == nullptr) return std::optional<Fields>();
  TRY(Fields fields, require_object(name));
  return std::optional(std::move(fields));
}

Result<const json::array*> Fields::list(std::string_view name, std::size_t count_max) const {
  const json::value* value = find(name);
  if (value == nullptr) return nullptr;
  const json::array* items = value->if_array();
  if (items == nullptr) {
    return std::unexpected(field_error(path_of(name), "Input should be a valid list"));
  }
  if (items->size() > count_max) {
    return std::unexpected(field_error(
        path_of(name),
        fmt::format("List should have at most {} items, not {}", count_max, items->size())));
  }
  return items;
}

}  // namespace onnxlocal
