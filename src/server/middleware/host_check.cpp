#include "server/middleware/host_check.h"

#include <fmt/format.h>

#include <algorithm>

namespace onnxlocal {

namespace {

std::string to_lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower;
}

bool is_loopback_v4(std::string_view host) {
  constexpr std::string_view kDigitsAndDots = "0123456789.";
  return host.starts_with("127.") &&
         host.find_first_not_of(kDigitsAndDots) == std::string_view::npos &&
         std::ranges::count(host, '.') == 3;
}

bool is_address(std::string_view host) {
  constexpr std::string_view kV4 = "0123456789.";
  return host.find_first_not_of(kV4) == std::string_view::npos ||
         host.find(':') != std::string_view::npos;
}

/// "host:port" of "http://host:port"; "null" has none.
std::string_view authority_of_origin(std::string_view origin) {
  const auto scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

/// A name could have been rebound to us; an address, or a loopback name, could not.
bool is_own_page(std::string_view origin, const HttpRequest& request) {
  const std::string_view authority = authority_of_origin(origin);
  const std::string_view host = host_of_authority(authority);
  const auto asked = find_header(request.headers, "host");
  return !host.empty() && asked && to_lower(*asked) == to_lower(authority) &&
         (is_address(host) || is_loopback_name(host));
}

bool is_listed(std::string_view origin, const PagePolicy& policy) {
  return std::ranges::find(policy.allowed_origins, to_lower(origin)) !=
         policy.allowed_origins.end();
}

bool may_use(std::string_view origin, const HttpRequest& request, const PagePolicy& policy) {
  if (is_listed(origin, policy) || is_own_page(origin, request)) return true;
  return policy.loopback_only && is_loopback_name(host_of_authority(authority_of_origin(origin)));
}

}  // namespace

bool is_loopback_name(std::string_view host) {
  const std::string name = to_lower(host);
  return name == "localhost" || name.ends_with(".localhost") || name == "::1" ||
         is_loopback_v4(name);
}

std::string_view host_of_authority(std::string_view authority) {
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    return end == std::string_view::npos ? std::string_view() : authority.substr(1, end - 1);
  }
  const auto colon = authority.find(':');
  // A bare IPv6 address has several.
  if (authority.rfind(':') != colon) return authority;
  return authority.substr(0, colon);
}

Result<std::string> parse_origin(std::string_view text) {
  const std::string origin = to_lower(text);
  const std::string_view authority = authority_of_origin(origin);
  const bool is_plain = std::ranges::all_of(origin, [](char c) { return c > 0x20 && c < 0x7F; });
  if (!is_plain || host_of_authority(authority).empty() || origin.starts_with("://") ||
      authority.find_first_of("/?#@*") != std::string_view::npos) {
    return std::unexpected(
        invalid_request(fmt::format("\"{}\" is no origin", text),
                        "write scheme and host, such as https://chat.example:8080"));
  }
  return origin;
}

std::optional<std::string> foreign_page(const HttpRequest& request, const PagePolicy& policy) {
  for (const HttpHeader& header : request.headers) {
    const std::string name = to_lower(header.name);
    if (name == "host" && policy.loopback_only &&
        !is_loopback_name(host_of_authority(header.value))) {
      return fmt::format("this server answers to localhost only, not to the host '{}'",
                         header.value);
    }
    if (name == "origin" && !may_use(header.value, request, policy)) {
      return fmt::format("pages of '{}' may not use this server: see --cors-origin", header.value);
    }
  }
  return std::nullopt;
}

std::optional<std::string> allowed_origin(const HttpRequest& request, const PagePolicy& policy) {
  const auto origin = find_header(request.headers, "origin");
  if (!origin || !is_listed(*origin, policy)) return std::nullopt;
  return std::string(*origin);
}

}  // namespace onnxlocal
