#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/anthropic/documents.h"
#include "generation/request.h"
#include "provider/embeddings.h"
#include "provider/provider.h"
#include "server/model_aliases.h"
#include "server/router.h"

namespace onnxlocal {

/// Who a request may be for.
struct Models {
  std::shared_ptr<Provider> provider;
  std::shared_ptr<const ModelAliases> aliases = std::make_shared<ModelAliases>();
  anthropic::PdfReader read_pdf = {};  ///< As in `ServerOptions`.
  EmbeddingModels embeddings = {};
};

/// Puts the id of the model in place of what the client wrote for it. Errors: not_found,
/// invalid_request (it writes no text).
Result<void> choose_model(GenerationRequest& generation, const Models& models);

/// The cache scope of a client's key, from its digest.
std::string cache_scope_of(std::string_view client);
/// What names the client's key in a cache key: either header carries the same key. The key itself
/// goes no further.
std::string cache_scope(const HttpRequest& request, const RequestContext& context);

/// Fills in what HTTP, and not the body, says of a generation: the model that the written id stands
/// for, the scope of its cache (a client's key), and who asks (session and agent;
/// where no header says, it stays as it is). For every
/// handler that generates. Errors: not_found (no such model).
Result<void> address(GenerationRequest& generation, const Models& models,
                     const HttpRequest& request, const RequestContext& context);

}  // namespace onnxlocal
