#include "dialect/canonical_json.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"

namespace onnxlocal {
namespace {

void write_number(double number, std::string& out) {
  // Up to here a double tells all whole numbers apart.
  constexpr double kWholeMax = 9'007'199'254'740'992.0;
  if (std::trunc(number) == number && std::abs(number) <= kWholeMax) {
    out += fmt::format("{}", static_cast<std::int64_t>(number));
  } else {
    out += fmt::format("{}", number);
  }
}

// As deep as json::parse lets a value be.
void write(const json::value& value, std::string& out) {  // NOLINT(misc-no-recursion)
  if (const auto* object = value.if_object()) {
    std::vector<std::string_view> keys;
    keys.reserve(object->size());
    for (const auto& member : *object) keys.emplace_back(member.key());
    std::ranges::sort(keys);
    out += '{';
    for (const std::string_view key : keys) {
      out += json::serialize(json::value(key));
      out += ':';
      write(object->at(key), out);
      out += ',';
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (const json::value& item : *array) {
      write(item, out);
      out += ',';
    }
    out += ']';
  } else if (const auto* number = value.if_double()) {
    write_number(*number, out);
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string canonical_json(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed) return std::string(text);
  std::string out;
  write(*parsed, out);
  return out;
}

}  // namespace onnxlocal
