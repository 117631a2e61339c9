#pragma once

#include <vector>

#include "api/anthropic/models.h"
#include "provider/provider.h"
#include "server/router.h"

namespace onnxlocal {

/// What the provider offers, in the words of the wire format.
std::vector<anthropic::ModelCard> model_cards(const Provider& provider);

/// GET /v1/models, by pages.
Reply list_models(const Provider& provider, const HttpRequest& request,
                  const RequestContext& context);

/// GET /v1/models/{id}. An alias is answered with the model it stands for, under the id asked for.
Reply retrieve_model(const Provider& provider, const RequestContext& context);

}  // namespace onnxlocal
