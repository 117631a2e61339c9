#include "api/openai/completion_request.h"

#include <utility>

#include "base/json.h"

namespace onnxlocal::openai {

namespace {

constexpr std::uint32_t kTokensDefault = 16;  // OpenAI's own.

Error prompt_error() {
  return field_error("prompt",
                     "Input should be a string or a list of tokens that is not empty, or a list "
                     "of one of them: ask several times for several prompts");
}

Result<RawPrompt> parse_tokens(const json::array& list) {
  std::vector<TokenId> tokens;
  tokens.reserve(list.size());
  for (const json::value& value : list) {
    const std::int64_t* token = value.if_int64();
    if (token == nullptr || *token < 0 || *token > std::numeric_limits<TokenId>::max()) {
      return std::unexpected(prompt_error());
    }
    tokens.push_back(static_cast<TokenId>(*token));
  }
  return tokens;
}

Result<RawPrompt> parse_prompt(const Fields& request) {
  TRY(const json::value* prompt, request.require("prompt"));
  const json::array* list = prompt->if_array();
  if (list != nullptr && list->size() == 1 && !list->front().is_number()) {
    prompt = &list->front();
    list = prompt->if_array();
  }
  if (prompt->is_string() && !prompt->get_string().empty()) {
    return std::string(prompt->get_string());
  }
  if (list == nullptr || list->empty()) return std::unexpected(prompt_error());
  return parse_tokens(*list);
}

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

}  // namespace

Result<CompletionRequest> parse_completion_request(std::string_view body) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  CompletionRequest parsed;
  GenerationRequest& generation = parsed.generation;
  TRY_VOID(parse_sampling(request, generation));
  parsed.model = generation.model;
  TRY_VOID(refuse_fields(request, {"suffix"}));
  TRY_VOID(check_count(request, "n"));
  TRY_VOID(check_count(request, "best_of"));
  TRY(generation.raw_prompt, parse_prompt(request));
  TRY(const auto tokens_max, parse_tokens_max(request, {"max_tokens"}));
  generation.tokens_max = request.find("max_tokens") == nullptr ? kTokensDefault : tokens_max;
  TRY(generation.stop_strings, parse_stop(request));
  TRY(parsed.stream, parse_stream(request));
  TRY(const auto is_echo, request.boolean("echo"));
  parsed.is_echo = is_echo.value_or(false);
  TRY_VOID(parse_logprobs(request, parsed.is_echo, generation.sampling));
  return parsed;
}

}  // namespace onnxlocal::openai
