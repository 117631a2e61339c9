#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_message.h"
#include "server/middleware/api_keys.h"
#include "server/middleware/host_check.h"

namespace onnxlocal {

/// Who asks, as far as the server knows.
struct Client {
  std::string digest;  ///< Of its key; empty where the server needs none.
  std::string name;    ///< The key's name, for the log.
  KeyLimits limits;
};

/// What a request's header alone decides.
struct GateVerdict {
  std::vector<HttpHeader> headers;      ///< For whatever answer follows.
  std::optional<HttpResponse> refusal;  ///< An answer that ends it (a preflight's too).
  Client client;
};

/// Who may come in: hosts and pages first, then keys. Network thread.
class Gate {
 public:
  Gate(PagePolicy pages, KeyRing keys, KeyLimits default_limits)
      : pages_(std::move(pages)), keys_(std::move(keys)), default_limits_(default_limits) {}

  GateVerdict check(const HttpRequest& request, std::string_view request_id) const;
  void replace_keys(KeyRing keys) { keys_ = std::move(keys); }

 private:
  PagePolicy pages_;
  KeyRing keys_;
  KeyLimits default_limits_;
};

}  // namespace onnxlocal
