#pragma once

#include <string>
#include <string_view>

#include "api/error_reply.h"
#include "base/error.h"
#include "server/http_message.h"

namespace onnxlocal {

/// In whose words a request is to be answered, by its path; `/v1/models`, which both have, and
/// paths that nobody has, by the headers that Anthropic's clients send. Paths of our own speak
/// Anthropic's.
WireFormat wire_format_of(const HttpRequest& request);

/// Responses that every part of the server makes.
HttpResponse json_response(std::string body, unsigned status = 200);
HttpResponse to_response(ErrorReply reply);
HttpResponse error_response(WireFormat format, const Error& error, std::string_view request_id);
/// For trouble that HTTP itself found.
HttpResponse status_response(WireFormat format, unsigned status, std::string_view message,
                             std::string_view request_id);

/// The same in Anthropic's shape. `details_code` is `error.details.error_code`.
HttpResponse error_response(const Error& error, std::string_view request_id,
                            std::string_view details_code = {});

}  // namespace onnxlocal
