// Any bytes as a key file: keys without their text, or an error without it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "server/middleware/api_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  const auto keys = parse_key_file({reinterpret_cast<const char*>(data), size});
  if (!keys) {
    CHECK(keys.error().code == ErrorCode::kInvalidRequest);
    return 0;
  }
  CHECK(!keys->empty());
  for (const ApiKey& key : *keys) CHECK(key.digest.size() == 64 && !key.name.empty());
  return 0;
}
