#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/json.h"

/// Any bytes give a value or an error, and what was read can be written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = onnxlocal::json::parse(text);
  if (!parsed) return 0;
  const auto again = onnxlocal::json::parse(onnxlocal::json::serialize(*parsed),
                                            {.bytes_max = std::size_t{1} << 30});
  CHECK(again.has_value());
  return 0;
}
