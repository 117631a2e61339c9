#pragma once

#include <vector>

#include "api/anthropic/models.h"
#include "provider/provider.h"
#include "server/addressing.h"
#include "server/router.h"

namespace onnxlocal {

/// What the provider offers, and behind it the embedding models, in the words of the wire format.
std::vector<anthropic::ModelCard> model_cards(const Models& models);

/// GET /v1/models, by pages.
Reply list_models(const Models& models, const HttpRequest& request, const RequestContext& context);

/// GET /v1/models/{id}. An alias is answered with the model it stands for, under the id asked for.
Reply retrieve_model(const Models& models, const HttpRequest& request,
                     const RequestContext& context);

}  // namespace onnxlocal
