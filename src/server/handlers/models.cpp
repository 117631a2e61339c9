#include "server/handlers/models.h"

#include "server/responses.h"

namespace onnxlocal {

std::vector<anthropic::ModelCard> model_cards(const Models& models) {
  std::vector<anthropic::ModelCard> cards;
  for (const ModelInfo& model : models.provider->models()) {
    cards.push_back({.id = model.id,
                     .display_name = model.display_name,
                     .created_at = model.created_at,
                     .context_tokens = model.context_tokens,
                     .tokens_max = model.tokens_max,
                     .can_think = model.can_think});
  }
  for (const EmbeddingModelInfo& model : models.embeddings.models) {
    cards.push_back({.id = model.id,
                     .display_name = model.display_name,
                     .created_at = model.created_at,
                     .context_tokens = model.context_tokens,
                     .gives_vectors = true,
                     .dimensions = model.dimensions});
  }
  return cards;
}

Reply list_models(const Models& models, const HttpRequest& request, const RequestContext& context) {
  const auto refuse = [&](const Error& error) {
    return error_response(wire_format_of(request), error, context.request_id);
  };
  const auto limit = query_value(request.query, "limit");
  const auto after_id = query_value(request.query, "after_id");
  const auto before_id = query_value(request.query, "before_id");
  const auto page = anthropic::parse_model_page(limit, after_id, before_id);
  if (!page) return refuse(page.error());
  auto body = anthropic::model_list_body(model_cards(models), *page);
  if (!body) return refuse(body.error());
  return json_response(*std::move(body));
}

Reply retrieve_model(const Models& models, const HttpRequest& request,
                     const RequestContext& context) {
  const auto cards = model_cards(models);
  const auto found = models.aliases->resolve(context.parameter, cards);
  if (!found) {
    return error_response(wire_format_of(request), found.error(), context.request_id);
  }
  anthropic::ModelCard card = **found;
  card.id = context.parameter;
  return json_response(anthropic::model_body(card));
}

}  // namespace onnxlocal
