#pragma once

#include <memory>

#include "generation/request.h"
#include "provider/provider.h"
#include "server/model_aliases.h"
#include "server/router.h"

namespace onnxlocal {

/// Who a request may be for.
struct Models {
  std::shared_ptr<Provider> provider;
  std::shared_ptr<const ModelAliases> aliases = std::make_shared<ModelAliases>();
};

/// Fills in what HTTP, and not the body, says of a generation: the model that the written id stands
/// for, the scope of its cache (a client's key), and who asks (session and agent). For every
/// handler that generates. Errors: not_found (no such model).
Result<void> address(GenerationRequest& generation, const Models& models,
                     const HttpRequest& request, const RequestContext& context);

}  // namespace onnxlocal
