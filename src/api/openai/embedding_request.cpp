#include "api/openai/embedding_request.h"

#include <cstddef>

#include "api/fields.h"
#include "api/openai/prompts.h"
#include "base/json.h"

namespace onnxlocal::openai {

namespace {

constexpr std::size_t kInputsMax = 2048;  // OpenAI's own.

Result<EncodingFormat> parse_format(const Fields& request) {
  TRY(const auto format, request.text("encoding_format"));
  if (!format || *format == "float") return EncodingFormat::kFloat;
  if (*format == "base64") return EncodingFormat::kBase64;
  return std::unexpected(field_error("encoding_format", "Input should be 'float' or 'base64'"));
}

}  // namespace

Result<EmbeddingBody> parse_embedding_request(std::string_view body) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  EmbeddingBody parsed;
  TRY(parsed.model, request.require_text("model"));
  parsed.embedding.model = parsed.model;
  TRY(parsed.embedding.inputs, parse_prompts(request, "input", kInputsMax));
  TRY(parsed.format, parse_format(request));
  TRY(parsed.embedding.dimensions, request.whole_number("dimensions", 1));
  return parsed;
}

}  // namespace onnxlocal::openai
