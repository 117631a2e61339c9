#pragma once

#include <vector>

#include "api/anthropic/documents.h"
#include "api/anthropic/tools.h"
#include "api/fields.h"
#include "base/json_text.h"
#include "generation/message.h"
#include "generation/request.h"

namespace onnxlocal::anthropic {

struct Conversation {
  std::vector<Message> messages;
  std::vector<CacheBreakpoint> cache_breakpoints;  ///< One per place, in order.
};

/// `system` and `messages` in the canonical form that request.h describes, and where
/// `cache_control` stands. `body` is the request's text; deferred tools that the messages name are
/// loaded. Errors: invalid_request, naming the path.
Result<Conversation> parse_conversation(const Fields& request, json::TextView body, ToolList& tools,
                                        const PdfReader& read_pdf);

}  // namespace onnxlocal::anthropic
