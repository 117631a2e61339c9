#pragma once

#include <optional>

#include "api/error_reply.h"
#include "server/addressing.h"
#include "server/http_message.h"
#include "server/router.h"

namespace onnxlocal {

/// Addresses a decoded request. Brings the response that refuses it where the model is broken or
/// not there.
std::optional<HttpResponse> prepare_generation(const Models& models, const HttpRequest& request,
                                               WireFormat format, const RequestContext& context,
                                               GenerationRequest& generation);

}  // namespace onnxlocal
