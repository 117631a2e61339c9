#include "text/encode_input.h"

#include <utility>

#include "text/native.h"
#include "text/tokenizer_native.h"

namespace onnxlocal {

Result<std::vector<TokenId>> encode_input(const Tokenizer& tokenizer, std::string_view text) {
  onnxlocal_tokens tokens{};
  char* error = nullptr;
  const auto status = onnxlocal_tokenizer_encode_input(tokenizer.native().handle.get(),
                                                       native::slice(text), &tokens, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return take_tokens(tokens);
}

}  // namespace onnxlocal
