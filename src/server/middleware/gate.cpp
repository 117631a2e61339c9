#include "server/middleware/gate.h"

#include <algorithm>
#include <array>

#include "server/middleware/cors.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

/// What a supervisor and a client's first look ask, which tell no secret.
constexpr std::array<std::string_view, 4> kOpenPaths = {"/", "/api/hello", "/health", "/ready"};

bool is_open_to_all(const HttpRequest& request) {
  return (request.method == "GET" || request.method == "HEAD") &&
         std::ranges::find(kOpenPaths, request.path) != kOpenPaths.end();
}

HttpResponse no_key(const HttpRequest& request, std::string_view request_id) {
  HttpResponse response =
      status_response(wire_format_of(request), 401, "invalid x-api-key", request_id);
  response.headers.push_back({"www-authenticate", "Bearer"});
  response.headers.push_back({"x-should-retry", "false"});
  return response;
}

}  // namespace

GateVerdict Gate::check(const HttpRequest& request, std::string_view request_id) const {
  GateVerdict verdict;
  if (const auto wrong = foreign_page(request, pages_)) {
    verdict.refusal = status_response(wire_format_of(request), 403, *wrong, request_id);
    return verdict;
  }
  verdict.headers = cors_headers(request, pages_);
  verdict.refusal = answer_preflight(request, pages_);
  verdict.client.limits = default_limits_;
  if (verdict.refusal || keys_.is_open() || is_open_to_all(request)) return verdict;
  const ApiKey* key = presented_key(keys_, request);
  if (key == nullptr) {
    verdict.refusal = no_key(request, request_id);
    return verdict;
  }
  verdict.client = {
      .digest = key->digest, .name = key->name, .limits = key->limits.or_else(default_limits_)};
  return verdict;
}

}  // namespace onnxlocal
