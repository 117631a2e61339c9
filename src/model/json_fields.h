#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace onnxlocal {

/// Reads the fields of one JSON object of a model's file; every error is model_corrupt and names
/// the file and the field's whole path ("model.decoder.head_size"). Borrows the object.
class JsonFields {
 public:
  JsonFields(const json::object& object, std::string where, std::string prefix = {})
      : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {}

  bool has(std::string_view key) const;
  /// The value, null where there is none or it is JSON's null.
  const json::value* find(std::string_view key) const;

  Result<JsonFields> object(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  Result<std::optional<std::string>> optional_text(std::string_view key) const;
  /// An integer of [min, max].
  Result<std::uint64_t> count(std::string_view key, std::uint64_t min, std::uint64_t max) const;
  Result<std::optional<std::uint64_t>> optional_count(std::string_view key, std::uint64_t min,
                                                      std::uint64_t max) const;
  /// A number of [min, max].
  Result<std::optional<double>> optional_number(std::string_view key, double min, double max) const;
  Result<std::optional<bool>> optional_flag(std::string_view key) const;

  /// "file: `path.key`", for errors of one's own.
  std::string name(std::string_view key) const;

 private:
  const json::object& object_;
  std::string where_;
  std::string prefix_;
};

/// Parses a model's JSON file: an object, or model_corrupt naming the file.
Result<json::value> parse_model_json(std::string_view text, std::string_view where);

/// "a number", "an object", ...: what a value is, in an error's words.
std::string_view kind_name(const json::value& value);

}  // namespace onnxlocal
