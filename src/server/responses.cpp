#include "server/responses.h"

#include <utility>

namespace onnxlocal {

HttpResponse json_response(std::string body, unsigned status) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

HttpResponse error_response(const Error& error, std::string_view request_id,
                            std::string_view details_code) {
  return error_response(anthropic::to_http_error(error.code), error, request_id, details_code);
}

HttpResponse error_response(const anthropic::HttpError& how, const Error& error,
                            std::string_view request_id, std::string_view details_code) {
  HttpResponse response = json_response(
      anthropic::error_body(how.type, describe(error), request_id, details_code), how.status);
  if (how.should_retry) {
    response.headers.push_back({"x-should-retry", *how.should_retry ? "true" : "false"});
  }
  if (how.retry_after_s) {
    response.headers.push_back({"retry-after", std::to_string(*how.retry_after_s)});
  }
  return response;
}

HttpResponse status_response(unsigned status, std::string_view message,
                             std::string_view request_id) {
  return json_response(
      anthropic::error_body(anthropic::error_type_of_status(status), message, request_id), status);
}

}  // namespace onnxlocal
