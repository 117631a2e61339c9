#pragma once

#include "server/addressing.h"
#include "server/router.h"

namespace onnxlocal {

/// POST /v1/messages. Worker.
Reply create_message(const Models& models, const HttpRequest& request, RequestContext context);

/// POST /v1/messages/count_tokens. Worker.
Reply count_message_tokens(const Models& models, const HttpRequest& request,
                           const RequestContext& context);

}  // namespace onnxlocal
