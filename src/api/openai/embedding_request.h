#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "generation/embedding.h"

namespace onnxlocal::openai {

enum class EncodingFormat { kFloat, kBase64 };

/// A request of POST /v1/embeddings.
struct EmbeddingBody {
  EmbeddingRequest embedding;
  EncodingFormat format = EncodingFormat::kFloat;
  std::string model;  ///< As written, for the echo.
};

/// Reads the JSON text of a request. Errors: invalid_request, naming the field; too_large.
Result<EmbeddingBody> parse_embedding_request(std::string_view body);

}  // namespace onnxlocal::openai
