#include "api/openai/embedding_reply.h"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include "api/openai/errors.h"
#include "base/base64.h"
#include "base/json.h"

namespace onnxlocal::openai {

namespace {

void append_base64(std::string& body, std::span<const float> vector) {
  constexpr unsigned kBytes = 4;
  std::string bytes;
  bytes.reserve(vector.size() * kBytes);
  for (const float number : vector) {
    const auto bits = std::bit_cast<std::uint32_t>(number);
    for (unsigned i = 0; i < kBytes; ++i) bytes += static_cast<char>(bits >> (8 * i) & 0xFFU);
  }
  body += '"';
  body += to_base64(bytes);
  body += '"';
}

/// The shortest text that is the same float again.
void append_numbers(std::string& body, std::span<const float> vector) {
  char mark = '[';
  for (const float number : vector) {
    body += std::exchange(mark, ',');
    fmt::format_to(std::back_inserter(body), "{}", number);
  }
  body += ']';
}

class EmbeddingEncoder final : public ResponseEncoder {
 public:
  explicit EmbeddingEncoder(std::shared_ptr<std::string> body) : body_(std::move(body)) {}

  bool is_stream() const override { return false; }
  std::string start_early(const Usage&) override { return {}; }
  std::string ping() override { return {}; }
  ErrorReply error_reply(const Error& error) const override { return openai::error_reply(error); }
  std::string encode(const GenerationEvent& event) override {
    if (!std::holds_alternative<GenerationFinished>(event)) return {};
    return std::move(*body_);
  }

 private:
  const std::shared_ptr<std::string> body_;
};

}  // namespace

std::string embedding_body(const Embeddings& made, std::string_view model, EncodingFormat format) {
  std::string body = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < made.vectors.size(); ++i) {
    if (i > 0) body += ',';
    fmt::format_to(std::back_inserter(body), R"({{"object":"embedding","index":{},"embedding":)",
                   i);
    if (format == EncodingFormat::kBase64) {
      append_base64(body, made.vectors[i]);
    } else {
      append_numbers(body, made.vectors[i]);
    }
    body += '}';
  }
  fmt::format_to(std::back_inserter(body),
                 R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                 json::serialize(json::value(model)), made.tokens, made.tokens);
  return body;
}

std::unique_ptr<ResponseEncoder> make_embedding_encoder(std::shared_ptr<std::string> body) {
  return std::make_unique<EmbeddingEncoder>(std::move(body));
}

}  // namespace onnxlocal::openai
