#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "api/openai/answer_log.h"
#include "generation/event.h"

namespace onnxlocal {

/// Sinks for `count` generations that answer one request. Every event goes into `log`; `sink` is
/// told of each, and ends with the last `GenerationFinished`, whose output tokens are those of all,
/// or with the first failure. The generations may run on any threads.
std::vector<EventSink> merge_answers(EventSink sink, std::shared_ptr<openai::AnswerLog> log,
                                     std::uint32_t count);

}  // namespace onnxlocal
