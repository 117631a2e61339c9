// Any bytes as the body of POST /v1/messages/batches: an answer or an error, never a crash; and
// what was accepted has its parameters as JSON objects.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/anthropic/batches.h"
#include "base/check.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  const auto parsed =
      anthropic::parse_batch(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed) {
    CHECK(!parsed.error().message.empty());
    return 0;
  }
  CHECK(!parsed->empty());
  for (const anthropic::BatchRequest& request : *parsed) {
    CHECK(!request.custom_id.empty());
    CHECK(json::parse(request.params)->is_object());
  }
  return 0;
}
