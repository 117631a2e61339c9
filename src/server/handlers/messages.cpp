#include "server/handlers/messages.h"

#include <span>
#include <string>
#include <utility>

#include "api/anthropic/errors.h"
#include "api/anthropic/models.h"
#include "api/anthropic/request.h"
#include "api/anthropic/response_encoder.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/handlers/models.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

/// What names the client's key in a cache key: either header carries the same key. The key itself
/// goes no further.
std::string cache_scope(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  constexpr std::size_t kDigits = 16;
  std::string_view key = find_header(request.headers, "x-api-key").value_or("");
  const std::string_view authorization = find_header(request.headers, "authorization").value_or("");
  if (key.empty() && authorization.starts_with(kBearer)) key = authorization.substr(kBearer.size());
  if (key.empty()) return {};
  return sha256_hex(std::as_bytes(std::span(key))).substr(0, kDigits);
}

/// Maps the id that the client wrote to one that is there. A provider that is still loading lists
/// nothing: then it decides itself.
Result<void> choose_model(Provider& provider, GenerationRequest& request) {
  const auto cards = model_cards(provider);
  if (cards.empty()) return {};
  TRY(const anthropic::ModelCard* card, anthropic::resolve_model(request.model, cards));
  request.model = card->id;
  return {};
}

/// The request for the provider, or the reply that refuses it.
std::expected<anthropic::MessagesRequest, Reply> decode(Provider& provider,
                                                        const HttpRequest& request,
                                                        anthropic::RequestKind kind,
                                                        std::string_view request_id) {
  auto parsed = anthropic::parse_messages_request(
      request.body, kind, {.betas = find_header(request.headers, "anthropic-beta").value_or("")});
  if (!parsed) {
    return std::unexpected(
        error_response(parsed.error().error, request_id, parsed.error().details_code));
  }
  const ProviderStatus status = provider.status();
  if (status.state == ProviderStatus::State::kFailed) {
    return std::unexpected(
        to_response(broken_model_reply(WireFormat::kAnthropic, status.failure, request_id)));
  }
  if (auto chosen = choose_model(provider, parsed->generation); !chosen) {
    return std::unexpected(error_response(chosen.error(), request_id));
  }
  parsed->generation.cache_scope = cache_scope(request);
  return *std::move(parsed);
}

}  // namespace

Reply create_message(const std::shared_ptr<Provider>& provider, const HttpRequest& request,
                     RequestContext context) {
  auto decoded = decode(*provider, request, anthropic::RequestKind::kCreate, context.request_id);
  if (!decoded) return std::move(decoded).error();
  for (const std::string& note : decoded->notes) LOG_INFO("{}: {}", context.request_id, note);

  const auto generation = std::make_shared<GenerationRequest>(std::move(decoded->generation));
  auto active = provider->generate(*generation, std::move(context.sink));
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
    pending.count_prompt = [provider, generation] { return provider->count_tokens(*generation); };
  }
  return pending;
}

Reply count_message_tokens(Provider& provider, const HttpRequest& request,
                           const RequestContext& context) {
  auto decoded =
      decode(provider, request, anthropic::RequestKind::kCountTokens, context.request_id);
  if (!decoded) return std::move(decoded).error();
  const auto tokens = provider.count_tokens(decoded->generation);
  if (!tokens) return error_response(tokens.error(), context.request_id);
  return json_response(anthropic::count_tokens_body(*tokens));
}

}  // namespace onnxlocal
