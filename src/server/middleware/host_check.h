#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/http_message.h"

namespace onnxlocal {

/// "localhost", a name under it, 127.0.0.0/8 or ::1.
bool is_loopback_name(std::string_view host);

/// The host of "host:port", "[v6]:port" or a bare host.
std::string_view host_of_authority(std::string_view authority);

/// Keeps web pages away from a server that only this machine may reach: a page whose name was
/// rebound to 127.0.0.1 still sends its own name as Host, and any page sends its Origin. Says what
/// is wrong; empty where the request may pass. Not used where the server is bound to other
/// addresses.
std::optional<std::string> foreign_host(const HttpRequest& request);

}  // namespace onnxlocal
