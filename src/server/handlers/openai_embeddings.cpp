#include "server/handlers/openai_embeddings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/fields.h"
#include "api/openai/embedding_reply.h"
#include "api/openai/embedding_request.h"
#include "server/handlers/models.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

/// Puts the model's id in place of what the client wrote. Errors: not_found; invalid_request (it
/// gives no vectors).
Result<void> choose_embedding_model(EmbeddingRequest& request, const Models& models) {
  const auto cards = model_cards(models);
  TRY(const anthropic::ModelCard* card, models.aliases->resolve(request.model, cards));
  if (card->gives_vectors) {
    request.model = card->id;
    return {};
  }
  std::vector<std::string_view> ids;
  for (const anthropic::ModelCard& other : cards) {
    if (other.gives_vectors) ids.emplace_back(other.id);
  }
  Error error = field_error(
      "model",
      fmt::format("{} gives no embeddings: it is a decoder that shows no hidden states", card->id));
  error.hint = ids.empty()
                   ? "put an embedding model's folder (config.json, tokenizer.json, model.onnx) "
                     "into the models folder, and start the server again"
                   : fmt::format("embedding models here: {}", fmt::join(ids, ", "));
  return std::unexpected(std::move(error));
}

}  // namespace

Reply create_embeddings(const Models& models, const HttpRequest& request, RequestContext context) {
  const auto refuse = [&](const Error& error) {
    return error_response(WireFormat::kOpenAi, error, context.request_id);
  };
  auto parsed = openai::parse_embedding_request(request.body);
  if (!parsed) return refuse(parsed.error());
  if (const auto chosen = choose_embedding_model(parsed->embedding, models); !chosen) {
    return refuse(chosen.error());
  }
  const auto body = std::make_shared<std::string>();
  auto active = models.embeddings.embed(
      std::move(parsed->embedding),
      [body, model = std::move(parsed->model), format = parsed->format,
       sink = std::move(context.sink)](Result<Embeddings> made) mutable {
        if (!made) {
          sink(GenerationFailed{std::move(made).error()});
          return;
        }
        *body = openai::embedding_body(*made, model, format);
        const Usage usage{.input_tokens = made->tokens};
        sink(GenerationStarted{.usage = usage});
        sink(GenerationFinished{
            .reason = StopReason::kEndOfTurn, .stop_string = {}, .usage = usage});
      });
  if (!active) return refuse(active.error());
  return PendingGeneration{.active = *std::move(active),
                           .encoder = openai::make_embedding_encoder(body),
                           .count_prompt = {}};
}

}  // namespace onnxlocal
