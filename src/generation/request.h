#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "generation/message.h"
#include "generation/sampling.h"
#include "generation/token.h"
#include "generation/tool.h"

namespace onnxlocal {

/// Whether the answer begins with thinking. A model that cannot think simply answers.
struct ThinkingOptions {
  enum class Mode {
    kDefault,   ///< The request says nothing: no thinking.
    kEnabled,   ///< Always.
    kAdaptive,  ///< As the model sees fit.
    kDisabled,
  };
  Mode mode = Mode::kDefault;
  std::optional<std::uint32_t>
      tokens_max;  ///< Thinking ends after so many; not empty for kEnabled.
};

/// What the answer's text must be.
struct OutputFormat {
  enum class Kind {
    kText,
    kJsonObject,  ///< Any JSON object.
    kJsonSchema,  ///< JSON that satisfies `schema`.
  };
  Kind kind = Kind::kText;
  std::string schema;  ///< The client's own text.
};

/// A prompt as it stands, without a chat template: text, or the model's own tokens (at least one).
using RawPrompt = std::variant<std::string, std::vector<TokenId>>;

/// Asks the prefix cache to keep the beginning of the prompt.
struct CacheBreakpoint {
  std::size_t messages = 0;  ///< The prefix is the tools and the first so many of `messages`.
  std::chrono::seconds ttl{300};
};

/// Who goes first where there is not room for all.
enum class Priority {
  kLive,   ///< Somebody waits for the answer.
  kBatch,  ///< Runs where nothing live waits.
};

/// What a client asks for, whatever its wire format was.
struct GenerationRequest {
  std::string model;  ///< As the client wrote it; empty is the default model.
  /// System messages come first; then user and assistant. A trailing assistant message is a prefix
  /// that the answer continues.
  std::vector<Message> messages;
  std::optional<RawPrompt> raw_prompt;  ///< Instead of `messages`, which are then empty.
  std::vector<ToolDefinition> tools;    ///< Names are unique.
  ToolChoice tool_choice;
  ThinkingOptions thinking;
  OutputFormat output_format;
  SamplingOptions sampling;
  std::uint32_t tokens_max = 0;  ///< At least 1; clamped to the room that the context has left.
  std::vector<std::string> stop_strings;
  std::string cache_scope;  ///< Prefixes are shared within one scope (an API key), never across.
  std::vector<CacheBreakpoint> cache_breakpoints;
  std::string agent;  ///< Who asks (session, agent), as far as the client says; else empty.
  Priority priority = Priority::kLive;
};

}  // namespace onnxlocal
