#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "text/grammar.h"
#include "text/json_schema.h"

namespace onnxlocal {
namespace {

constexpr std::string_view kTokenizer = R"({"version": "1.0", "added_tokens": [],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
  "model": {"type": "BPE", "vocab": {"a": 0, "\"": 1, "{": 2, "}": 3}, "merges": []}})";
constexpr std::size_t kBytesMax = 4096;

}  // namespace
}  // namespace onnxlocal

/// A schema, a zero byte, JSON. All ends; what passes the check compiles, and what is relaxed too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  if (size > kBytesMax) return 0;
  static const auto tokenizer = Tokenizer::from_json(kTokenizer).value();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string_view schema = input.substr(0, end);
  if (check_enforceable(schema)) CHECK(Grammar::from_json_schema(*tokenizer, schema).has_value());
  if (const auto relaxed = relax_schema(schema); relaxed) {
    CHECK(Grammar::from_json_schema(*tokenizer, *relaxed).has_value());
  }
  if (end != std::string_view::npos) (void)validate_json(schema, input.substr(end + 1));
  return 0;
}
