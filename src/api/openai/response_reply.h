#pragma once

#include <functional>
#include <memory>

#include "api/openai/reply.h"
#include "base/json.h"

namespace onnxlocal::openai {

/// Takes a finished `response` object, on the encoder's thread.
using ResponseSink = std::function<void(const json::object&)>;

/// A response of POST /v1/responses: named events with a `sequence_number`, from
/// `response.created` to `response.completed` (or `incomplete`, `failed`), or one `response`.
/// Its items are `reasoning`, `message` and `function_call`. `echo` are the request's settings;
/// `finished` gets the response before its last bytes leave, and may be empty.
std::unique_ptr<ResponseEncoder> make_response_encoder(ReplyOptions options, json::object echo,
                                                       ResponseSink finished);

}  // namespace onnxlocal::openai
