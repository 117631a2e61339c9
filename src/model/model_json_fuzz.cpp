#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/embedding_folder.h"
#include "model/manifest.h"
#include "model/model_config.h"

// The first byte says which parser gets the rest.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'm') {
    const auto manifest = onnxlocal::parse_manifest(text, "input");
    if (manifest && !onnxlocal::parse_manifest(to_json(*manifest), "output")) __builtin_trap();
    return 0;
  }
  if (data[0] == 'e') {
    const auto modules = onnxlocal::parse_embedding_modules(text, "input");
    if (modules && modules->pooling_folder.find('/') != std::string::npos) __builtin_trap();
    return 0;
  }
  if (data[0] == 'p') {
    const auto pooling = onnxlocal::parse_pooling_config(text, "input");
    if (!pooling && pooling.error().message.empty()) __builtin_trap();
    return 0;
  }
  const auto config = onnxlocal::parse_genai_config(text, "input");
  if (config && !onnxlocal::parse_genai_config(to_genai_config(*config), "output")) {
    __builtin_trap();
  }
  return 0;
}
