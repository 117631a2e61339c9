#include "server/addressing.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "api/fields.h"
#include "base/hash.h"
#include "server/handlers/models.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kScopeDigits = 16;
constexpr std::size_t kAgentBytesMax = 128;

/// Claude Code names its session, and an agent within it.
std::string agent_of(const HttpRequest& request) {
  std::string agent;
  for (const char* name : {"x-claude-code-session-id", "x-claude-code-agent-id"}) {
    const auto value = find_header(request.headers, name);
    if (!value || value->empty()) continue;
    if (!agent.empty()) agent += '/';
    agent += value->substr(0, kAgentBytesMax);
  }
  return agent;
}

}  // namespace

/// A provider that is still loading lists nothing: then it decides itself.
Result<void> choose_model(GenerationRequest& generation, const Models& models) {
  const auto cards = model_cards(models);
  if (cards.empty()) return {};
  TRY(const anthropic::ModelCard* card, models.aliases->resolve(generation.model, cards));
  if (card->gives_vectors) {
    Error error = field_error(
        "model", fmt::format("{} is an embedding model: it gives vectors, not text", card->id));
    error.hint = "ask POST /v1/embeddings";
    return std::unexpected(std::move(error));
  }
  generation.model = card->id;
  return {};
}

std::string cache_scope_of(std::string_view client) {
  return std::string(client.substr(0, kScopeDigits));
}

std::string cache_scope(const HttpRequest& request, const RequestContext& context) {
  constexpr std::string_view kBearer = "Bearer ";
  if (!context.client.empty()) return cache_scope_of(context.client);
  std::string_view key = find_header(request.headers, "x-api-key").value_or("");
  const std::string_view authorization = find_header(request.headers, "authorization").value_or("");
  if (key.empty() && authorization.starts_with(kBearer)) key = authorization.substr(kBearer.size());
  if (key.empty()) return {};
  return sha256_hex(std::as_bytes(std::span(key))).substr(0, kScopeDigits);
}

Result<void> address(GenerationRequest& generation, const Models& models,
                     const HttpRequest& request, const RequestContext& context) {
  TRY_VOID(choose_model(generation, models));
  generation.cache_scope = cache_scope(request, context);
  if (auto agent = agent_of(request); !agent.empty()) generation.agent = std::move(agent);
  return {};
}

}  // namespace onnxlocal
