#include "server/handlers/batches.h"

#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "api/anthropic/batches.h"
#include "api/anthropic/models.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

/// Clients get the results from where this says: the host by which they reached us.
void set_results_url(anthropic::MessageBatch& batch, const HttpRequest& request) {
  if (!batch.ended_at) return;
  std::string base;
  if (const auto host = find_header(request.headers, "host")) {
    const bool is_https = find_header(request.headers, "x-forwarded-proto") == "https";
    base = fmt::format("{}://{}", is_https ? "https" : "http", *host);
  }
  batch.results_url = fmt::format("{}/v1/messages/batches/{}/results", base, batch.id);
}

Reply to_reply(Result<anthropic::MessageBatch> batch, const HttpRequest& request,
               const RequestContext& context) {
  if (!batch) return error_response(batch.error(), context.request_id);
  set_results_url(*batch, request);
  return json_response(anthropic::batch_body(*batch));
}

/// A batch's id from a message's: both have the same random part.
std::string batch_id(std::string_view message_id) {
  return fmt::format("msgbatch_{}", message_id.substr(message_id.find('_') + 1));
}

}  // namespace

Reply create_batch(BatchRunner& batches, const HttpRequest& request,
                   const RequestContext& context) {
  const auto requests = anthropic::parse_batch(request.body);
  if (!requests) return error_response(requests.error(), context.request_id);
  const auto store = batches.store();
  if (!store) return error_response(store.error(), context.request_id);
  auto created = (*store)->create(context.client, batch_id(context.message_id), *requests);
  if (created) batches.wake();
  return to_reply(std::move(created), request, context);
}

Reply list_batches(BatchRunner& batches, const HttpRequest& request,
                   const RequestContext& context) {
  const auto limit = query_value(request.query, "limit");
  const auto after_id = query_value(request.query, "after_id");
  const auto before_id = query_value(request.query, "before_id");
  const auto page = anthropic::parse_model_page(limit, after_id, before_id);
  if (!page) return error_response(page.error(), context.request_id);
  const auto store = batches.store();
  if (!store) return error_response(store.error(), context.request_id);
  auto found = (*store)->list(context.client, *page);
  if (!found) return error_response(found.error(), context.request_id);
  for (anthropic::MessageBatch& batch : found->batches) set_results_url(batch, request);
  return json_response(anthropic::batch_list_body(found->batches, found->has_more));
}

Reply retrieve_batch(BatchRunner& batches, const HttpRequest& request,
                     const RequestContext& context) {
  const auto store = batches.store();
  if (!store) return error_response(store.error(), context.request_id);
  return to_reply((*store)->find(context.client, context.parameter), request, context);
}

Reply cancel_batch(BatchRunner& batches, const HttpRequest& request,
                   const RequestContext& context) {
  const auto store = batches.store();
  if (!store) return error_response(store.error(), context.request_id);
  auto cancelled = (*store)->cancel(context.client, context.parameter);
  if (cancelled) batches.wake();
  return to_reply(std::move(cancelled), request, context);
}

Reply delete_batch(BatchRunner& batches, const HttpRequest& /*request*/,
                   const RequestContext& context) {
  const auto store = batches.store();
  if (!store) return error_response(store.error(), context.request_id);
  const auto removed = (*store)->remove(context.client, context.parameter);
  if (!removed) return error_response(removed.error(), context.request_id);
  return json_response(anthropic::batch_deleted_body(context.parameter));
}

Reply stream_batch_results(BatchRunner& batches, const HttpRequest& /*request*/,
                           const RequestContext& context) {
  const auto store = batches.store();
  if (!store) return error_response(store.error(), context.request_id);
  auto first = (*store)->results(context.client, context.parameter, 0);
  if (!first) return error_response(first.error(), context.request_id);
  BodyStream stream{
      .content_type = "application/x-jsonl", .first = std::move(first->lines), .next = {}};
  stream.next = [store = *store, owner = context.client, id = context.parameter,
                 position = first->next_position]() mutable -> Result<std::string> {
    TRY(ResultPage page, store->results(owner, id, position));
    position = page.next_position;
    return std::move(page.lines);
  };
  return stream;
}

}  // namespace onnxlocal
