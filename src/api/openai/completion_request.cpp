#include "api/openai/completion_request.h"

#include <fmt/format.h>

#include <utility>

#include "api/openai/prompts.h"
#include "base/json.h"

namespace onnxlocal::openai {

namespace {

constexpr std::uint32_t kTokensDefault = 16;  // OpenAI's own.

Result<void> parse_logprobs(const Fields& request, bool is_echo, SamplingOptions& sampling) {
  TRY(const auto alternatives, parse_alternatives(request, "logprobs"));
  if (!alternatives) return {};
  if (is_echo) {
    return std::unexpected(
        field_error("logprobs", "those of the prompt are not supported: leave `echo` out"));
  }
  sampling.logprobs = *alternatives;
  return {};
}

/// `n`, and `best_of`, of which only as many as are shown are made.
Result<void> parse_counts(const Fields& request, CompletionRequest& parsed) {
  TRY(const auto count, request.whole_number("n", 1));
  const std::uint32_t answers = count.value_or(1);
  if (answers > kAnswersMax / parsed.prompts.size()) {
    return std::unexpected(field_error(
        "n", fmt::format("{} answers to {} prompts: at most {} in all, ask several times", answers,
                         parsed.prompts.size(), kAnswersMax)));
  }
  parsed.answers_each = answers;
  TRY(const auto best_of, request.whole_number("best_of", 1));
  if (best_of.value_or(answers) == answers || best_of == 1U) return {};
  return std::unexpected(field_error("best_of", "only the value of `n` is supported"));
}

}  // namespace

Result<CompletionRequest> parse_completion_request(std::string_view body) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  CompletionRequest parsed;
  GenerationRequest& generation = parsed.generation;
  TRY_VOID(parse_sampling(request, generation));
  parsed.model = generation.model;
  TRY_VOID(refuse_fields(request, {"suffix"}));
  TRY(parsed.prompts, parse_prompts(request, "prompt", kAnswersMax));
  TRY_VOID(parse_counts(request, parsed));
  TRY(const auto tokens_max, parse_tokens_max(request, {"max_tokens"}));
  generation.tokens_max = request.find("max_tokens") == nullptr ? kTokensDefault : tokens_max;
  TRY(generation.stop_strings, parse_stop(request));
  TRY(parsed.stream, parse_stream(request));
  TRY(const auto is_echo, request.boolean("echo"));
  parsed.is_echo = is_echo.value_or(false);
  TRY_VOID(parse_logprobs(request, parsed.is_echo, generation.sampling));
  return parsed;
}

GenerationRequest answer_request(const CompletionRequest& request, std::uint32_t answer) {
  GenerationRequest one = request.generation;
  one.raw_prompt = request.prompt_of(answer);
  if (one.sampling.seed) *one.sampling.seed += answer % request.answers_each;
  return one;
}

}  // namespace onnxlocal::openai
