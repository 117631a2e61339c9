#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/http_message.h"

namespace onnxlocal {

/// Which hosts and which pages' origins a server answers to.
struct PagePolicy {
  bool loopback_only = true;                 ///< Bound to this machine alone.
  std::vector<std::string> allowed_origins;  ///< As `parse_origin` gives them.
};

/// "scheme://host" or "scheme://host:port" in lower case, as browsers send it. Errors:
/// invalid_request (anything else, "*" among it: a list names whom it allows).
Result<std::string> parse_origin(std::string_view text);

/// "localhost", a name under it, 127.0.0.0/8 or ::1.
bool is_loopback_name(std::string_view host);

/// The host of "host:port", "[v6]:port" or a bare host.
std::string_view host_of_authority(std::string_view authority);

/// Keeps web pages away. A page sends its Origin: it must be on the list, or lie on this machine
/// where the server is for this machine alone, or be the server's own, by its address. A page whose
/// name was rebound to this machine still sends its own name as Host, so that a server for this
/// machine alone answers to loopback names only. Says what is wrong; empty where the request may
/// pass.
std::optional<std::string> foreign_page(const HttpRequest& request, const PagePolicy& policy);

/// The origin of a page on the list; empty for everybody else.
std::optional<std::string> allowed_origin(const HttpRequest& request, const PagePolicy& policy);

}  // namespace onnxlocal
