#include "server/router.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "server/responses.h"

namespace onnxlocal {

namespace {

/// What the pattern's parameter stands for (empty where it has none); nothing where it does not
/// fit.
std::optional<std::string_view> match_path(std::string_view pattern, std::string_view path) {
  const auto brace = pattern.find('{');
  if (brace == std::string_view::npos) {
    if (path != pattern) return std::nullopt;
    return std::string_view();
  }
  const std::string_view end = pattern.substr(pattern.find('}') + 1);
  const bool fits = path.starts_with(pattern.substr(0, brace)) && path.ends_with(end) &&
                    path.size() > brace + end.size();
  if (!fits) return std::nullopt;
  return path.substr(brace, path.size() - brace - end.size());
}

bool takes_method(const Route& route, std::string_view method) {
  return route.method == method || (method == "HEAD" && route.method == "GET");
}

}  // namespace

RouteMatch match_route(std::span<const Route> routes, const HttpRequest& request,
                       std::string_view request_id) {
  const WireFormat format = wire_format_of(request);
  std::vector<std::string_view> allowed;
  for (const Route& route : routes) {
    const auto parameter = match_path(route.pattern, request.path);
    if (!parameter) continue;
    if (takes_method(route, request.method)) {
      return {.route = &route, .parameter = percent_decode(*parameter), .refusal = {}};
    }
    allowed.push_back(route.method);
    if (route.method == "GET") allowed.push_back("HEAD");
  }
  RouteMatch match;
  if (allowed.empty()) {
    match.refusal =
        status_response(format, 404, fmt::format("no such path: {}", request.path), request_id);
  } else {
    match.refusal = status_response(
        format, 405, fmt::format("{} does not take {}", request.path, request.method), request_id);
    match.refusal.headers.push_back({"allow", fmt::format("{}", fmt::join(allowed, ", "))});
  }
  return match;
}

}  // namespace onnxlocal
