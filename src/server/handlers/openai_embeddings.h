#pragma once

#include "server/addressing.h"
#include "server/router.h"

namespace onnxlocal {

/// POST /v1/embeddings. Worker; the vectors are made elsewhere.
Reply create_embeddings(const Models& models, const HttpRequest& request, RequestContext context);

}  // namespace onnxlocal
