#include "server/responses.h"

#include <algorithm>
#include <array>
#include <utility>

#include "api/anthropic/errors.h"

namespace onnxlocal {

namespace {

constexpr std::array<std::string_view, 4> kOpenAiPaths = {"/v1/chat/", "/v1/completions",
                                                          "/v1/responses", "/v1/embeddings"};

}  // namespace

WireFormat wire_format_of(const HttpRequest& request) {
  const std::string_view path = request.path;
  const bool is_openai = std::ranges::any_of(
      kOpenAiPaths, [&](std::string_view prefix) { return path.starts_with(prefix); });
  if (is_openai) return WireFormat::kOpenAi;
  const bool is_anthropic = !path.starts_with("/v1/") || path.starts_with("/v1/messages") ||
                            find_header(request.headers, "anthropic-version") ||
                            find_header(request.headers, "x-api-key") ||
                            !find_header(request.headers, "authorization");
  return is_anthropic ? WireFormat::kAnthropic : WireFormat::kOpenAi;
}

HttpResponse json_response(std::string body, unsigned status) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

HttpResponse to_response(ErrorReply reply) {
  HttpResponse response = json_response(std::move(reply.body), reply.status);
  if (reply.should_retry) {
    response.headers.push_back({"x-should-retry", *reply.should_retry ? "true" : "false"});
  }
  if (reply.retry_after_s) {
    response.headers.push_back({"retry-after", std::to_string(*reply.retry_after_s)});
  }
  return response;
}

HttpResponse error_response(WireFormat format, const Error& error, std::string_view request_id) {
  return to_response(error_reply(format, error, request_id));
}

HttpResponse status_response(WireFormat format, unsigned status, std::string_view message,
                             std::string_view request_id) {
  return to_response(status_reply(format, status, message, request_id));
}

HttpResponse error_response(const Error& error, std::string_view request_id,
                            std::string_view details_code) {
  ErrorReply reply = error_reply(WireFormat::kAnthropic, error, request_id);
  if (!details_code.empty()) {
    reply.body = anthropic::error_body(anthropic::to_http_error(error.code).type, describe(error),
                                       request_id, details_code);
  }
  return to_response(std::move(reply));
}

}  // namespace onnxlocal
