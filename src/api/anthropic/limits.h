#pragma once

#include <cstddef>

namespace onnxlocal::anthropic {

/// What one request may hold. Anthropic's own limits where it names them; a body has 32 MiB at most
/// (base/json.h) and 64 levels.
inline constexpr std::size_t kMessagesMax = 100'000;
inline constexpr std::size_t kBlocksMax = 100'000;  ///< In one message.
inline constexpr std::size_t kToolsMax = 4096;
inline constexpr std::size_t kToolNameBytesMax = 128;
inline constexpr std::size_t kCalledNameBytesMax = 200;  ///< Of tools in the history.
inline constexpr std::size_t kIdBytesMax = 256;
inline constexpr std::size_t kStopSequencesMax = 8192;
inline constexpr std::size_t kCacheControlsMax = 4;
inline constexpr std::size_t kThinkingTokensLeast = 1024;
inline constexpr std::size_t kBatchRequestsMax = 100'000;
inline constexpr std::size_t kCustomIdBytesMax = 64;

}  // namespace onnxlocal::anthropic
