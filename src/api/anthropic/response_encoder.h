#pragma once

#include <memory>

#include "api/anthropic/events.h"
#include "api/response_encoder.h"

namespace onnxlocal::anthropic {

/// A message of the Messages API: `StreamEncoder` or `MessageBuilder`.
std::unique_ptr<ResponseEncoder> make_response_encoder(const MessageIdentity& identity,
                                                       bool is_stream);

}  // namespace onnxlocal::anthropic
