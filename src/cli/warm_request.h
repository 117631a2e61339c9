#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace onnxlocal {

/// The same request, for one token and without streaming. All else keeps its very text, since the
/// prompt depends on it. Errors: invalid_request (it is no request for a message).
Result<std::string> one_token_request(std::string_view body);

/// Tokens of a prompt: their sum is what `count_tokens` says.
struct PromptUsage {
  std::uint64_t cached_tokens = 0;    ///< Found in the prefix cache.
  std::uint64_t computed_tokens = 0;  ///< The rest.
};

/// From the answer to it. Errors: internal (it is none), unavailable (the server's own error, its
/// message).
Result<PromptUsage> read_prompt_usage(unsigned status, std::string_view body);

}  // namespace onnxlocal
