#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace onnxlocal {

/// `size` tokens that count up from `first`, over and over through the fake decoder's vocabulary.
inline std::vector<TokenId> prompt_of(std::size_t size, TokenId first = 10) {
  constexpr TokenId kVocabulary = 300;
  std::vector<TokenId> prompt(size);
  for (TokenId& token : prompt) token = first++ % kVocabulary;
  return prompt;
}

inline SequenceRequest greedy(std::vector<TokenId> prompt, std::uint32_t tokens_max,
                              Priority priority = Priority::kLive) {
  return {.prompt = std::move(prompt),
          .sampling = {.temperature = 0},
          .tokens_max = tokens_max,
          .priority = priority};
}

/// The same request once more. A constraint belongs to one generation and is not copied.
inline SequenceRequest copy_of(const SequenceRequest& request) {
  return {.prompt = request.prompt,
          .sampling = request.sampling,
          .tokens_max = request.tokens_max,
          .stop_strings = request.stop_strings,
          .stop_tokens = request.stop_tokens,
          .ignore_end_tokens = request.ignore_end_tokens,
          .use_prefix_cache = request.use_prefix_cache,
          .cache_scope = request.cache_scope,
          .constraint = nullptr,
          .visible_tokens = request.visible_tokens,
          .priority = request.priority,
          .pins = request.pins,
          .agent = request.agent};
}

}  // namespace onnxlocal
