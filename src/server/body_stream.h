#pragma once

#include <boost/asio/awaitable.hpp>

#include "server/generation_response.h"
#include "server/reply.h"

namespace onnxlocal {

/// Sends a body part by part, never holding more than one. Trouble after the first part ends the
/// connection, so that the client sees that the body is not whole. `with_body` is false for HEAD.
boost::asio::awaitable<void> send_body_stream(Exchange& exchange, BodyStream stream,
                                              bool with_body);

}  // namespace onnxlocal
