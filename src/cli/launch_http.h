#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace onnxlocal {

/// A server on this machine, or one that is reached like it: plain HTTP.
struct ServerAddress {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;

  /// "http://HOST:PORT", with an IPv6 address in brackets.
  std::string url() const;
};

struct ServerQuestion {
  std::string method = "GET";
  std::string path = "/";
  std::string body = {};  ///< JSON, where there is one.
  std::vector<std::pair<std::string, std::string>> headers = {};
};

struct ServerAnswer {
  unsigned status = 0;
  std::string body;  ///< At most 64 MiB.
};

/// Asks on a connection of its own and waits for the whole answer. Any thread.
/// Errors: unavailable (nobody listens there), timed_out, internal (what answers speaks no HTTP).
Result<ServerAnswer> ask_server(const ServerAddress& server, const ServerQuestion& question,
                                Deadline deadline);

}  // namespace onnxlocal
