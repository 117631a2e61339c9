#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/openai/answer_log.h"
#include "api/openai/reply.h"

namespace onnxlocal::openai {

/// What the answers of a completion are.
struct CompletionAnswers {
  /// Their events; the encoder itself is told of each, and of the end of all.
  std::shared_ptr<AnswerLog> log;
  std::vector<std::string> echoes;  ///< What each begins with; its size is their number.
  std::uint32_t each = 1;           ///< To one prompt, whose tokens count once.
};

std::unique_ptr<ResponseEncoder> make_completion_encoder(ReplyOptions options,
                                                         CompletionAnswers answers);

}  // namespace onnxlocal::openai
