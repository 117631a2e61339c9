#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/openai/options.h"
#include "api/openai/reply.h"
#include "provider/provider.h"
#include "server/addressing.h"
#include "server/router.h"

namespace onnxlocal {

/// What an encoder is told of a request, with an id of `prefix` and the rest of `message_id`.
openai::ReplyOptions reply_options(const std::shared_ptr<Provider>& provider,
                                   std::string_view prefix, std::string_view message_id,
                                   std::string model, const openai::StreamOptions& stream,
                                   const GenerationRequest& generation);

/// POST /v1/chat/completions. Worker.
Reply create_chat_completion(const Models& models, const HttpRequest& request,
                             RequestContext context);

/// POST /v1/completions. Worker.
Reply create_completion(const Models& models, const HttpRequest& request, RequestContext context);

}  // namespace onnxlocal
