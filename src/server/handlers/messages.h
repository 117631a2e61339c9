#pragma once

#include <memory>

#include "provider/provider.h"
#include "server/router.h"

namespace onnxlocal {

/// POST /v1/messages. Worker.
Reply create_message(const std::shared_ptr<Provider>& provider, const HttpRequest& request,
                     RequestContext context);

/// POST /v1/messages/count_tokens. Worker.
Reply count_message_tokens(Provider& provider, const HttpRequest& request,
                           const RequestContext& context);

}  // namespace onnxlocal
