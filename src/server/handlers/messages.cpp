#include "server/handlers/messages.h"

#include <string>
#include <utility>

#include "api/anthropic/errors.h"
#include "api/anthropic/request.h"
#include "api/anthropic/response_encoder.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

/// The request for the provider, or the reply that refuses it.
std::expected<anthropic::MessagesRequest, Reply> decode(const Models& models,
                                                        const HttpRequest& request,
                                                        anthropic::RequestKind kind,
                                                        const RequestContext& context) {
  const std::string& request_id = context.request_id;
  auto parsed = anthropic::parse_messages_request(
      request.body, kind,
      {.betas = find_header(request.headers, "anthropic-beta").value_or(""),
       .read_pdf = models.read_pdf});
  if (!parsed) {
    return std::unexpected(
        error_response(parsed.error().error, request_id, parsed.error().details_code));
  }
  const ProviderStatus status = models.provider->status();
  if (status.state == ProviderStatus::State::kFailed) {
    return std::unexpected(
        to_response(broken_model_reply(WireFormat::kAnthropic, status.failure, request_id)));
  }
  if (auto addressed = address(parsed->generation, models, request, context); !addressed) {
    return std::unexpected(error_response(addressed.error(), request_id));
  }
  return *std::move(parsed);
}

}  // namespace

Reply create_message(const Models& models, const HttpRequest& request, RequestContext context) {
  auto decoded = decode(models, request, anthropic::RequestKind::kCreate, context);
  if (!decoded) return std::move(decoded).error();
  const auto generation = std::make_shared<GenerationRequest>(std::move(decoded->generation));
  auto active = models.provider->generate(*generation, std::move(context.sink));
  if (!active) return error_response(active.error(), context.request_id);
  PendingGeneration pending{
      .active = *std::move(active),
      .encoder = anthropic::make_response_encoder({.id = std::move(context.message_id),
                                                   .model = std::move(decoded->model),
                                                   .request_id = std::move(context.request_id),
                                                   .style = decoded->style},
                                                  decoded->stream),
      .count_prompt = {}};
  if (decoded->stream) {
    pending.count_prompt = [provider = models.provider, generation] {
      return provider->count_tokens(*generation);
    };
  }
  return pending;
}

Reply count_message_tokens(const Models& models, const HttpRequest& request,
                           const RequestContext& context) {
  auto decoded = decode(models, request, anthropic::RequestKind::kCountTokens, context);
  if (!decoded) return std::move(decoded).error();
  const auto tokens = models.provider->count_tokens(decoded->generation);
  if (!tokens) return error_response(tokens.error(), context.request_id);
  return json_response(anthropic::count_tokens_body(*tokens));
}

}  // namespace onnxlocal
