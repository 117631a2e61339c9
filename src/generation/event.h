#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "generation/token.h"

namespace onnxlocal {

/// Why a generation ended.
enum class StopReason { kEndOfTurn, kTokensMax, kStopString, kContextFull, kToolUse };

/// Tokens as they were really counted. The prompt has
/// `input_tokens + cache_read_tokens + cache_creation_tokens` tokens in all.
struct Usage {
  std::uint32_t input_tokens = 0;           ///< Computed and not kept in the prefix cache.
  std::uint32_t cache_read_tokens = 0;      ///< Taken from the prefix cache.
  std::uint32_t cache_creation_tokens = 0;  ///< Computed now and kept in the prefix cache.
  std::uint32_t output_tokens = 0;          ///< Generated, the end token included.
  std::uint32_t thinking_tokens = 0;        ///< Of those, thinking.
  std::uint32_t prompt_tokens() const {
    return input_tokens + cache_read_tokens + cache_creation_tokens;
  }
  friend bool operator==(const Usage&, const Usage&) = default;
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;  ///< Natural logarithm, under the model's own distribution (temperature 1).
  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

/// One generated token that became visible.
struct TokenReport {
  TokenLogprob chosen;
  std::vector<TokenLogprob> alternatives;  ///< Most likely first; empty unless asked for.
};

/// What the prefix cache did for a prompt.
struct CacheReport {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t read_tokens = 0;
  /// The first token that differs from the longest prefix that was ever kept; empty where there is
  /// nothing to compare with.
  std::optional<std::uint32_t> first_difference;
  std::string
      reason;  ///< Why not more came from the cache, in words; empty where nothing is missing.
};

/// The prompt is computed, and the first token is about to come. Always first, exactly once.
struct GenerationStarted {
  Usage usage;  ///< `output_tokens` is 0.
  CacheReport cache = {};
};
/// Whole UTF-8 characters that will not be taken back, and the tokens they came from. Text may be
/// empty where tokens hold no text yet (or the generation has no tokenizer).
struct GenerationDelta {
  std::string text;
  std::vector<TokenReport> tokens;
};
/// Part of what the model thinks. Comes before the text that it belongs to.
struct ThinkingDelta {
  std::string text;
};
/// The model begins to call a tool. Its input follows, until any other event.
struct ToolUseStarted {
  std::string id;  ///< "toolu_...".
  std::string name;
};
/// Part of a call's input: all parts joined are one JSON object.
struct ToolInputDelta {
  std::string json;
};
/// The last event of a generation that went well.
struct GenerationFinished {
  StopReason reason = StopReason::kEndOfTurn;
  std::string stop_string;  ///< Which one, for kStopString.
  Usage usage;
  std::vector<std::string> warnings = {};  ///< What was not as asked, for the log and a header.
};
/// The last event of one that did not. May also come first.
struct GenerationFailed {
  Error error;
};

using GenerationEvent =
    std::variant<GenerationStarted, GenerationDelta, ThinkingDelta, ToolUseStarted, ToolInputDelta,
                 GenerationFinished, GenerationFailed>;

/// The engine makes Started, GenerationDelta, Finished and Failed; a provider that reads the
/// model's own way of thinking and calling makes the others of its text.
/// Takes the events of one generation, in order, on the engine's thread: it must not block and must
/// not throw. Dropped after the last event.
using EventSink = std::move_only_function<void(GenerationEvent)>;

}  // namespace onnxlocal
