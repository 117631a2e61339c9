#pragma once

#include <string>
#include <string_view>

#include "api/anthropic/errors.h"
#include "base/error.h"
#include "server/http_message.h"

namespace onnxlocal {

/// Responses that every part of the server makes, in Anthropic's shape.
HttpResponse json_response(std::string body, unsigned status = 200);
HttpResponse error_response(const Error& error, std::string_view request_id,
                            std::string_view details_code = {});
/// The same with the status and headers given, where the code's own would not do.
HttpResponse error_response(const anthropic::HttpError& how, const Error& error,
                            std::string_view request_id, std::string_view details_code = {});
/// For trouble that HTTP itself found.
HttpResponse status_response(unsigned status, std::string_view message,
                             std::string_view request_id);

}  // namespace onnxlocal
