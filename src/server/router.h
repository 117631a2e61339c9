#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "generation/event.h"
#include "server/http_message.h"
#include "server/reply.h"

namespace onnxlocal {

/// What a handler is given besides the request.
struct RequestContext {
  std::string request_id;  ///< "req_...".
  std::string message_id;  ///< "msg_...", for the handler that makes a message.
  std::string client;      ///< Digest of the client's key; empty where the server needs none.
  std::string parameter;   ///< What `{name}` of the route stood for, decoded.
  EventSink sink;          ///< Where a generation's events go.
};

/// Answers one request. Any thread; no exceptions.
using Handler = std::function<Reply(const HttpRequest&, RequestContext)>;

/// Where a handler runs.
enum class RunsOn {
  kNetwork,  ///< At once: it only looks things up.
  kWorker,   ///< It parses, renders or tokenizes.
};

struct Route {
  std::string_view method;  ///< GET routes answer HEAD too.
  /// A path; `{name}` stands for anything, slashes too. The first route that fits counts.
  std::string_view pattern;
  RunsOn runs_on = RunsOn::kNetwork;
  Handler handler;
};

/// What the table says of one request.
struct RouteMatch {
  const Route* route = nullptr;  ///< Null: `refusal` says why.
  std::string parameter;
  HttpResponse refusal;  ///< 404, or 405 with `allow`.
};

/// Finds the route. Paths are compared as they came; the parameter is decoded afterwards, so that
/// an id may hold a slash either way. The query does not count.
RouteMatch match_route(std::span<const Route> routes, const HttpRequest& request,
                       std::string_view request_id);

}  // namespace onnxlocal
