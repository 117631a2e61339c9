#pragma once

#include <string_view>
#include <vector>

#include "generation/token.h"
#include "model/json_fields.h"

namespace onnxlocal {

/// A field that holds one token id or an array of them (empty where it is missing, null or -1).
Result<std::vector<TokenId>> read_token_list(const JsonFields& fields, std::string_view key);

}  // namespace onnxlocal
