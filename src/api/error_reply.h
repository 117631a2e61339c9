#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace onnxlocal {

/// In whose words a request was asked and is answered.
enum class WireFormat { kAnthropic, kOpenAi };

/// An error as one wire format tells it over HTTP.
struct ErrorReply {
  unsigned status = 500;
  std::string body;  ///< JSON.
  /// `x-should-retry`, where the client would guess wrong from the status alone.
  std::optional<bool> should_retry = {};
  std::optional<unsigned> retry_after_s = {};
};

ErrorReply error_reply(WireFormat format, const Error& error, std::string_view request_id);

/// For trouble that HTTP itself found: no such path, no key, too many requests, ...
ErrorReply status_reply(WireFormat format, unsigned status, std::string_view message,
                        std::string_view request_id);

/// A model that is broken stays so, whatever the code of its error: clients are told not to repeat.
ErrorReply broken_model_reply(WireFormat format, const Error& failure, std::string_view request_id);

}  // namespace onnxlocal
