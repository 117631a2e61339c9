#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/embedding.h"
#include "provider/provider.h"

namespace onnxlocal {

/// What became of one `EmbeddingRequest`. Called once, on a thread of the embedder's: it must not
/// block and must not throw.
using EmbeddingSink = std::move_only_function<void(Result<Embeddings>)>;

/// An embedding model that is offered.
struct EmbeddingModelInfo {
  std::string id;  ///< "onnx-local/NAME".
  std::string display_name;
  std::chrono::sys_seconds created_at;
  std::uint32_t context_tokens = 0;  ///< Of one input.
  std::uint32_t dimensions = 0;  ///< Of a vector; 0 where that is not known before it is loaded.
};

/// The embedding models beside a provider that writes text; none by default.
struct EmbeddingModels {
  std::vector<EmbeddingModelInfo> models;
  /// Queues texts; `request.model` is an id of `models`. Destroying what it returns cancels. Any
  /// thread. Errors: not_found, overloaded, unavailable (shutting down); then the sink is not
  /// called.
  std::function<Result<ActiveGeneration>(EmbeddingRequest request, EmbeddingSink sink)> embed;
};

}  // namespace onnxlocal
