#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/openai/embedding_request.h"
#include "api/response_encoder.h"

namespace onnxlocal::openai {

/// The body of POST /v1/embeddings. In base64, a vector is its numbers as 32-bit floats, the least
/// significant byte first.
std::string embedding_body(const Embeddings& made, std::string_view model, EncodingFormat format);

/// Sends `body`, which is filled before the encoder is told of `GenerationFinished`: writing
/// millions of numbers would hold up the thread that encodes.
std::unique_ptr<ResponseEncoder> make_embedding_encoder(std::shared_ptr<std::string> body);

}  // namespace onnxlocal::openai
