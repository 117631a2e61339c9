#pragma once

#include <memory>
#include <string>

#include "api/openai/reply.h"

namespace onnxlocal::openai {

/// A `text_completion`: in pieces that end in `[DONE]`, or whole. The text begins with `echo`.
std::unique_ptr<ResponseEncoder> make_completion_encoder(ReplyOptions options, std::string echo);

}  // namespace onnxlocal::openai
