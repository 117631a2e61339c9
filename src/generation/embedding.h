#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "generation/request.h"

namespace onnxlocal {

/// What a client asks of an embedding model.
struct EmbeddingRequest {
  std::string model;
  std::vector<RawPrompt> inputs;            ///< At least one; none is empty.
  std::optional<std::uint32_t> dimensions;  ///< Only so many of each vector, normalised again.
};

struct Embeddings {
  std::vector<std::vector<float>> vectors;  ///< One for each input, of one size.
  std::uint32_t tokens = 0;                 ///< Of all inputs, special ones included.
};

}  // namespace onnxlocal
