#include "server/middleware/cors.h"

#include <string>
#include <utility>

namespace onnxlocal {

namespace {

/// How long a browser need not ask again.
constexpr const char* kPreflightSeconds = "600";
constexpr const char* kReadable =
    "request-id, x-request-id, retry-after, x-should-retry, x-onnx-local-cache, "
    "x-onnx-local-warning, anthropic-ratelimit-requests-limit, "
    "anthropic-ratelimit-requests-remaining, anthropic-ratelimit-requests-reset, "
    "anthropic-ratelimit-tokens-limit, anthropic-ratelimit-tokens-remaining, "
    "anthropic-ratelimit-tokens-reset";

}  // namespace

std::vector<HttpHeader> cors_headers(const HttpRequest& request, const PagePolicy& policy) {
  std::vector<HttpHeader> headers;
  // Caches keep answers to different pages apart.
  if (!policy.allowed_origins.empty()) headers.push_back({"vary", "Origin"});
  if (auto origin = allowed_origin(request, policy)) {
    headers.push_back({"access-control-allow-origin", *std::move(origin)});
    headers.push_back({"access-control-expose-headers", kReadable});
  }
  return headers;
}

std::optional<HttpResponse> answer_preflight(const HttpRequest& request, const PagePolicy& policy) {
  if (request.method != "OPTIONS" || !allowed_origin(request, policy) ||
      !find_header(request.headers, "access-control-request-method")) {
    return std::nullopt;
  }
  HttpResponse response;
  response.status = 204;
  response.headers = {{"access-control-allow-methods", "GET, HEAD, POST, DELETE"},
                      {"access-control-max-age", kPreflightSeconds}};
  if (const auto wanted = find_header(request.headers, "access-control-request-headers")) {
    response.headers.push_back({"access-control-allow-headers", std::string(*wanted)});
  }
  if (find_header(request.headers, "access-control-request-private-network")) {
    response.headers.push_back({"access-control-allow-private-network", "true"});
  }
  return response;
}

}  // namespace onnxlocal
