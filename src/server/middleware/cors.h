#pragma once

#include <optional>
#include <vector>

#include "server/http_message.h"
#include "server/middleware/host_check.h"

namespace onnxlocal {

/// What lets the page that asks read the answer; nothing for pages that are not on the list.
std::vector<HttpHeader> cors_headers(const HttpRequest& request, const PagePolicy& policy);

/// The answer to a browser that asks, before a page's real request, whether it may be sent. Empty
/// where this is no such question, or the page is not on the list.
std::optional<HttpResponse> answer_preflight(const HttpRequest& request, const PagePolicy& policy);

}  // namespace onnxlocal
