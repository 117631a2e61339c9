#pragma once

#include <memory>

#include "provider/provider.h"
#include "server/addressing.h"
#include "server/handlers/openai_response_store.h"
#include "server/router.h"

namespace onnxlocal {

/// POST /v1/responses. Worker.
Reply create_response(const Models& models, const std::shared_ptr<ResponseStore>& store,
                      const HttpRequest& request, RequestContext context);

/// GET and DELETE /v1/responses/{id}.
Reply retrieve_response(ResponseStore& store, const HttpRequest& request,
                        const RequestContext& context);
Reply delete_response(ResponseStore& store, const HttpRequest& request,
                      const RequestContext& context);

}  // namespace onnxlocal
