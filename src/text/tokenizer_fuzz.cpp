#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

/// Any bytes are a tokenizer or an error; what loads can encode and decode any text, and a stream
/// gives whole characters and, in all, what decoding at once gives.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::from_json(json);
  if (!tokenizer) return 0;
  const auto encoded = (*tokenizer)->encode(json.substr(0, 1000), SpecialTokens::kParsed);
  std::vector<TokenId> tokens;
  if (encoded) tokens = *encoded;
  for (std::size_t i = 0; i < size && i < 1000; ++i) tokens.push_back(data[i]);

  TokenStream stream = (*tokenizer)->stream();
  std::string streamed;
  for (const TokenId token : tokens) {
    const auto text = stream.push(token);
    if (!text) return 0;
    CHECK(is_valid_utf8(*text));
    streamed += *text;
  }
  const auto rest = stream.finish();
  const auto decoded = (*tokenizer)->decode(tokens);
  CHECK(rest && decoded);
  CHECK(streamed + *rest == *decoded);
  return 0;
}
