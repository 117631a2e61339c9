#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "import/gguf_reader.h"
#include "import/gguf_tokenizer.h"

namespace {

void check_tensors(const onnxlocal::GgufFile& file, std::span<const std::byte> bytes) {
  std::uint64_t total = 0;
  for (const auto& tensor : file.tensors()) {
    CHECK(!tensor.data.empty());
    CHECK(tensor.data.data() >= bytes.data());
    CHECK(tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size());
    CHECK(file.find_tensor(tensor.name) == &tensor);
    total += tensor.data.size();
  }
  CHECK(total <= bytes.size());  // for they do not overlap
}

}  // namespace

/// Any bytes give a file or an error; a file's tensors lie inside it, and its tokenizer is JSON of
/// well-formed text, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = onnxlocal::GgufFile::parse(bytes);
  if (!file) {
    CHECK(!file.error().message.empty() && !file.error().hint.empty());
    return 0;
  }
  check_tensors(*file, bytes);
  if (const auto json = onnxlocal::tokenizer_json_from_gguf(*file)) {
    CHECK(onnxlocal::json::parse(*json).has_value());
  }
  if (const auto tokens = onnxlocal::read_gguf_tokens(*file)) {
    CHECK(onnxlocal::is_valid_utf8(tokens->chat_template));
    for (const auto id : tokens->end_tokens) {
      CHECK(static_cast<std::uint32_t>(id) < tokens->vocabulary_size);
    }
  }
  return 0;
}
