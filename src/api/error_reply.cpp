#include "api/error_reply.h"

#include "api/anthropic/errors.h"
#include "api/openai/errors.h"

namespace onnxlocal {

ErrorReply error_reply(WireFormat format, const Error& error, std::string_view request_id) {
  switch (format) {
    case WireFormat::kOpenAi: return openai::error_reply(error);
    case WireFormat::kAnthropic: break;
  }
  const anthropic::HttpError how = anthropic::to_http_error(error.code);
  return {.status = how.status,
          .body = anthropic::error_body(how.type, describe(error), request_id),
          .should_retry = how.should_retry,
          .retry_after_s = how.retry_after_s};
}

ErrorReply status_reply(WireFormat format, unsigned status, std::string_view message,
                        std::string_view request_id) {
  switch (format) {
    case WireFormat::kOpenAi: return openai::status_reply(status, message);
    case WireFormat::kAnthropic: break;
  }
  return {
      .status = status,
      .body = anthropic::error_body(anthropic::error_type_of_status(status), message, request_id)};
}

ErrorReply broken_model_reply(WireFormat format, const Error& failure,
                              std::string_view request_id) {
  ErrorReply reply = status_reply(format, 500, describe(failure), request_id);
  reply.should_retry = false;
  return reply;
}

}  // namespace onnxlocal
