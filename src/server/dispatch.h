#pragma once

#include <memory>

#include <boost/asio/awaitable.hpp>

#include "server/generation_response.h"
#include "server/http_message.h"
#include "server/services.h"

namespace onnxlocal {

/// Answers one whole request: gate, route, limits of its key, handler, response. Network thread.
boost::asio::awaitable<void> dispatch(Exchange& exchange, const SessionServices& services,
                                      std::shared_ptr<HttpRequest> request);

}  // namespace onnxlocal
