#pragma once

#include <vector>

#include "generation/event.h"
#include "server/http_message.h"

namespace onnxlocal {

/// Adds what an event says of its generation and clients read in a response's head:
/// `x-onnx-local-cache: read=N prompt=M; reason="..."` for the start, an `x-onnx-local-warning` for
/// each warning at the end.
void add_headers_of(const GenerationEvent& event, std::vector<HttpHeader>& headers);

}  // namespace onnxlocal
