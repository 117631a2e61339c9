#pragma once

#include "engine/engine.h"

namespace onnxlocal {

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
