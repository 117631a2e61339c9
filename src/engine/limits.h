#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// What the engine bounds besides its options, and why.
namespace onnxlocal {

/// Alternatives per token: what the wire formats that have logprobs allow.
inline constexpr std::uint32_t kLogprobsMax = 20;

/// Stop strings cost one automaton step each per byte of text.
inline constexpr std::size_t kStopStringsMax = 64;
inline constexpr std::size_t kStopStringBytesMax = 4096;

/// Forward passes that fail one after the other before the decoder counts as failed. One failure
/// may be one request's (memory for a long prompt); three in a row are not.
inline constexpr std::uint32_t kDecoderFailuresMax = 3;

/// A prompt up to this length that pins nothing is a side talk (a title, a summary, a check before
/// a command): agents' own prompts begin with more than this.
inline constexpr std::uint32_t kSideTalkTokensMax = 4096;

/// Blocks on their way to the disk, and back: a second or two of prefill, or of a slow disk.
inline constexpr std::size_t kDiskQueueBytesMax = std::size_t{128} << 20;
/// A shutdown waits so long for what is on its way to the disk.
inline constexpr std::chrono::seconds kDiskFlushMax{2};

/// Live load that never pauses leaves batches nothing: after so long without a step, one batch
/// sequence gets a turn. It lasts until its prompt is computed, and so long after that: on one
/// slot, a twelfth of the time besides its prompt.
inline constexpr std::chrono::seconds kBatchPatience{60};
inline constexpr std::chrono::seconds kBatchTurn{5};

/// Tokens that the log shows on each side of a prompt's first difference.
inline constexpr std::uint32_t kExplainedTokens = 24;

}  // namespace onnxlocal
