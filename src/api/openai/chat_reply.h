#pragma once

#include <memory>

#include "api/openai/reply.h"

namespace onnxlocal::openai {

/// A chat completion: `chat.completion.chunk` events that end in `[DONE]`, or one
/// `chat.completion`. What the model thinks is `reasoning_content`.
std::unique_ptr<ResponseEncoder> make_chat_encoder(ReplyOptions options);

}  // namespace onnxlocal::openai
