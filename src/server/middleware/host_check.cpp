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

/// The host of "http://host:port"; "null" and other schemes name no host.
std::string_view host_of_origin(std::string_view origin) {
  const auto scheme = origin.find("://");
  if (scheme == std::string_view::npos) return {};
  return host_of_authority(origin.substr(scheme + 3));
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

std::optional<std::string> foreign_host(const HttpRequest& request) {
  if (const auto host = find_header(request.headers, "host")) {
    if (!is_loopback_name(host_of_authority(*host))) {
      return fmt::format("this server answers to localhost only, not to the host '{}'", *host);
    }
  }
  if (const auto origin = find_header(request.headers, "origin")) {
    if (!is_loopback_name(host_of_origin(*origin))) {
      return fmt::format("pages of '{}' may not use this server", *origin);
    }
  }
  return std::nullopt;
}

}  // namespace onnxlocal
