#pragma once

#include <string>
#include <string_view>

#include "api/error_reply.h"
#include "base/error.h"

namespace onnxlocal::openai {

/// The one mapping of our codes to OpenAI's statuses, types and codes. `code` replaces the one that
/// the error itself has.
ErrorReply error_reply(const Error& error, std::string_view code = {});

ErrorReply status_reply(unsigned status, std::string_view message);

/// `{"error":{"message","type","param","code"}}`: the body of a response, and the data of a stream
/// that breaks off.
std::string error_body(const Error& error, std::string_view code = {});

}  // namespace onnxlocal::openai
