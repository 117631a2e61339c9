#include "model/json_fields.h"

#include <fmt/format.h>

namespace onnxlocal {

std::string_view kind_name(const json::value& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "a boolean";
  if (value.is_string()) return "a string";
  if (value.is_array()) return "an array";
  if (value.is_object()) return "an object";
  return "a number";
}

Result<json::value> parse_model_json(std::string_view text, std::string_view where) {
  auto parsed = json::parse(text);
  if (!parsed) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: not valid JSON: {}", where, parsed.error().message)));
  }
  if (!parsed->is_object()) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected a JSON object, found {}", where, kind_name(*parsed))));
  }
  return parsed;
}

bool JsonFields::has(std::string_view key) const { return find(key) != nullptr; }

const json::value* JsonFields::find(std::string_view key) const {
  const auto* value = object_.if_contains(boost::json::string_view(key.data(), key.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string JsonFields::name(std::string_view key) const {
  return fmt::format("{}: `{}{}`", where_, prefix_, key);
}

Result<JsonFields> JsonFields::object(std::string_view key) const {
  const auto* value = find(key);
  if (value == nullptr) return std::unexpected(model_corrupt(name(key) + " is missing"));
  if (!value->is_object()) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected an object, found {}", name(key), kind_name(*value))));
  }
  return JsonFields(value->get_object(), where_, fmt::format("{}{}.", prefix_, key));
}

Result<std::optional<std::string>> JsonFields::optional_text(std::string_view key) const {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected a string, found {}", name(key), kind_name(*value))));
  }
  return std::string(value->get_string().data(), value->get_string().size());
}

Result<std::string> JsonFields::text(std::string_view key) const {
  TRY(auto value, optional_text(key));
  if (!value) return std::unexpected(model_corrupt(name(key) + " is missing"));
  return *std::move(value);
}

Result<std::optional<std::uint64_t>> JsonFields::optional_count(std::string_view key,
                                                                std::uint64_t min,
                                                                std::uint64_t max) const {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  boost::json::error_code failed;
  const auto number = value->to_number<std::uint64_t>(failed);
  if (failed || number < min || number > max) {
    const bool is_number = value->is_number();
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected an integer from {} to {}, found {}", name(key), min, max,
                    is_number ? json::serialize(*value) : std::string(kind_name(*value)))));
  }
  return number;
}

Result<std::uint64_t> JsonFields::count(std::string_view key, std::uint64_t min,
                                        std::uint64_t max) const {
  TRY(auto value, optional_count(key, min, max));
  if (!value) return std::unexpected(model_corrupt(name(key) + " is missing"));
  return *value;
}

Result<std::optional<double>> JsonFields::optional_number(std::string_view key, double min,
                                                          double max) const {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  boost::json::error_code failed;
  const auto number = value->to_number<double>(failed);
  if (failed || !(number >= min && number <= max)) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: expected a number from {} to {}, found {}", name(key), min,
                                  max, json::serialize(*value))));
  }
  return number;
}

Result<std::optional<bool>> JsonFields::optional_flag(std::string_view key) const {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected true or false, found {}", name(key), kind_name(*value))));
  }
  return value->get_bool();
}

}  // namespace onnxlocal
