#include "server/handlers/openai_responses.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "api/fields.h"
#include "api/openai/errors.h"
#include "api/openai/response_reply.h"
#include "api/openai/response_request.h"
#include "base/json.h"
#include "server/handlers/generation.h"
#include "server/handlers/openai.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

constexpr WireFormat kFormat = WireFormat::kOpenAi;

HttpResponse unknown_response(const RequestContext& context) {
  return error_response(
      kFormat, not_found(fmt::format("Response with id '{}' not found.", context.parameter)),
      context.request_id);
}

/// The items that were said up to the response that this one goes on from.
std::optional<json::array> earlier_items(ResponseStore& store, std::string_view scope,
                                         std::string_view id) {
  if (id.empty()) return json::array{};
  const auto stored = store.find(scope, id);
  if (!stored) return std::nullopt;
  auto items = json::parse(stored->conversation);
  if (!items || !items->is_array()) return std::nullopt;
  return std::move(items->get_array());
}

HttpResponse unknown_previous(std::string_view id) {
  return to_response(
      openai::error_reply(field_error("previous_response_id",
                                      fmt::format("Previous response with id '{}' not found.", id)),
                          "previous_response_not_found"));
}

/// Keeps a finished response, and all that was said by then.
openai::ResponseSink keep_in(const std::shared_ptr<ResponseStore>& store, std::string scope,
                             std::string id, json::array items) {
  return [store, scope = std::move(scope), id = std::move(id),
          items = std::move(items)](const json::object& response) {
    json::array all = items;
    if (const json::array* output = response.at("output").if_array()) {
      for (const json::value& item : *output) all.push_back(item);
    }
    store->put(scope, id,
               {.response = json::serialize(response), .conversation = json::serialize(all)});
  };
}

}  // namespace

Reply create_response(const Models& models, const std::shared_ptr<ResponseStore>& store,
                      const HttpRequest& request, RequestContext context) {
  auto parsed = openai::parse_response_request(request.body);
  if (!parsed) return error_response(kFormat, parsed.error(), context.request_id);
  GenerationRequest& generation = parsed->generation;
  auto refusal = prepare_generation(models, request, kFormat, context, generation);
  if (refusal) return *std::move(refusal);
  const std::string scope = generation.cache_scope;
  auto earlier = earlier_items(*store, scope, parsed->previous_response_id);
  if (!earlier) return unknown_previous(parsed->previous_response_id);
  auto messages = openai::conversation_of(parsed->instructions, *earlier, parsed->input);
  if (!messages) return error_response(kFormat, messages.error(), context.request_id);
  generation.messages = *std::move(messages);
  auto active = models.provider->generate(generation, std::move(context.sink));
  if (!active) return error_response(kFormat, active.error(), context.request_id);

  openai::ReplyOptions options =
      reply_options(models.provider, "resp_", context.message_id, std::move(parsed->model),
                    {.stream = parsed->stream, .include_usage = true}, generation);
  openai::ResponseSink finished;
  if (parsed->store) {
    json::array items = *std::move(earlier);
    for (json::value& item : parsed->input) items.push_back(std::move(item));
    finished = keep_in(store, scope, options.id, std::move(items));
  }
  return PendingGeneration{.active = *std::move(active),
                           .encoder = openai::make_response_encoder(
                               std::move(options), std::move(parsed->echo), std::move(finished)),
                           .count_prompt = {}};
}

Reply retrieve_response(ResponseStore& store, const HttpRequest& request,
                        const RequestContext& context) {
  auto stored = store.find(cache_scope(request, context), context.parameter);
  if (!stored) return unknown_response(context);
  return json_response(std::move(stored->response));
}

Reply delete_response(ResponseStore& store, const HttpRequest& request,
                      const RequestContext& context) {
  if (!store.erase(cache_scope(request, context), context.parameter))
    return unknown_response(context);
  return json_response(json::serialize(
      json::object{{"id", context.parameter}, {"object", "response"}, {"deleted", true}}));
}

}  // namespace onnxlocal
