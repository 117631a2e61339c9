#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace onnxlocal {

/// `path: what`, the form of every complaint about a field.
Error field_error(std::string_view path, std::string_view what);

/// The path that a complaint of that form names; empty where it names none.
std::string_view field_of(const Error& error);

/// What a client wrote, cut to what a message should repeat of it. Borrows the text.
std::string_view shown(std::string_view text);

/// A JSON object and the path that led to it ("messages.0.content.1", empty at the top), so that
/// every complaint names its field. Borrows the value. A field that is null counts as absent.
class Fields {
 public:
  /// Errors: invalid_request where `value` is not an object.
  static Result<Fields> of(const json::value& value, std::string path);

  std::string path_of(std::string_view name) const;
  const std::string& path() const { return path_; }

  /// Null where the field is absent.
  const json::value* find(std::string_view name) const;

  /// Errors: invalid_request, "NAME: Field required".
  Result<const json::value*> require(std::string_view name) const;
  Result<std::string_view> require_text(std::string_view name) const;
  Result<Fields> require_object(std::string_view name) const;

  /// Empty where the field is absent. Errors: invalid_request (another type, out of range).
  Result<std::optional<double>> number(std::string_view name, double least, double most) const;
  /// What is more than 32 bits hold counts as the most they hold.
  Result<std::optional<std::uint32_t>> whole_number(std::string_view name,
                                                    std::uint32_t least) const;
  Result<std::optional<bool>> boolean(std::string_view name) const;
  Result<std::optional<std::string_view>> text(std::string_view name) const;
  Result<std::optional<Fields>> object(std::string_view name) const;
  /// Null where the field is absent. Errors also: more than `count_max` elements.
  Result<const json::array*> list(std::string_view name, std::size_t count_max) const;

 private:
  Fields(const json::object* object, std::string path) : object_(object), path_(std::move(path)) {}

  const json::object* object_;
  std::string path_;
};

}  // namespace onnxlocal
