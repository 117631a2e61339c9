#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "generation/message.h"
#include "generation/sampling.h"

namespace onnxlocal {

/// What a client asks for, whatever its wire format was.
struct GenerationRequest {
  std::string model;  ///< As the client wrote it; empty is the default model.
  /// System messages come first; then user and assistant. A trailing assistant message is a prefix
  /// that the answer continues.
  std::vector<Message> messages;
  SamplingOptions sampling;
  std::uint32_t tokens_max = 0;  ///< At least 1; clamped to the room that the context has left.
  std::vector<std::string> stop_strings;
  std::string cache_scope;  ///< Prefixes are shared within one scope (an API key), never across.
};

}  // namespace onnxlocal
