#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/options.h"
#include "base/result.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// Answers to one request; more could fill the engine's queue.
inline constexpr std::uint32_t kAnswersMax = 32;

/// A request of POST /v1/completions: prompts that are continued as they stand.
struct CompletionRequest {
  GenerationRequest generation;    ///< What all answers share: without `raw_prompt`.
  std::vector<RawPrompt> prompts;  ///< At least one.
  std::uint32_t answers_each = 1;  ///< To each prompt; `kAnswersMax` in all.
  StreamOptions stream;
  std::string model;     ///< As written, for the echo.
  bool is_echo = false;  ///< Each answer begins with its prompt.

  std::uint32_t answers() const {
    return static_cast<std::uint32_t>(prompts.size()) * answers_each;
  }
  const RawPrompt& prompt_of(std::uint32_t answer) const { return prompts[answer / answers_each]; }
};

/// Reads the JSON text of a request. Errors: invalid_request, naming the field; too_large.
Result<CompletionRequest> parse_completion_request(std::string_view body);

/// What is to be generated for one answer: those to one prompt follow each other. With a seed, each
/// of them has its own, the first the one that was asked for.
GenerationRequest answer_request(const CompletionRequest& request, std::uint32_t answer);

}  // namespace onnxlocal::openai
