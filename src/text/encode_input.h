#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// `text` as an input of its own: it spells no special token, and those that the tokenizer's
/// post-processor adds stand around it. Errors: too_large.
Result<std::vector<TokenId>> encode_input(const Tokenizer& tokenizer, std::string_view text);

}  // namespace onnxlocal
