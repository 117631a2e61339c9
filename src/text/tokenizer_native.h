#pragma once

#include <utility>

#include "text/native.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// What `ChatTemplate` and `Grammar` need of a tokenizer.
struct Tokenizer::Native {
  explicit Native(native::TokenizerHandle loaded) : handle(std::move(loaded)) {}
  native::TokenizerHandle handle;
};

/// The caller's tokens as a vector; frees them.
std::vector<TokenId> take_tokens(onnxlocal_tokens tokens);

}  // namespace onnxlocal
