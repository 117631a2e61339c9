// The parts of a JSON text are the parts of its value; of other text, slices and never a crash.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "base/json_text.h"

namespace {

using namespace onnxlocal;

void check_parts(const json::value& value, json::TextView text) {
  const auto again = json::parse(text.text());
  CHECK(again.has_value() && *again == value);
  if (const json::object* members = value.if_object()) {
    for (const auto& member : *members) {
      const auto part = text.member(member.key());
      CHECK(part.has_value());
      check_parts(member.value(), *part);
    }
  } else if (const json::array* items = value.if_array()) {
    const auto parts = text.elements();
    CHECK(parts.size() == items->size());
    for (std::size_t i = 0; i < parts.size(); ++i) check_parts((*items)[i], parts[i]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string small = json::compact(text);
  const auto value = json::parse(text, {.depth_max = 16});
  if (!value) {
    static_cast<void>(json::TextView(text).elements());
    static_cast<void>(json::TextView(text).member("a"));
    return 0;
  }
  check_parts(*value, json::TextView(text));
  CHECK(json::compact(small) == small);
  const auto reread = json::parse(small);
  CHECK(reread.has_value() && *reread == *value);
  return 0;
}
