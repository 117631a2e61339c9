#include "server/handlers/openai.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/openai/chat_reply.h"
#include "api/openai/chat_request.h"
#include "api/openai/completion_reply.h"
#include "api/openai/completion_request.h"
#include "server/handlers/generation.h"
#include "server/merged_answers.h"
#include "server/responses.h"

namespace onnxlocal {

namespace {

constexpr WireFormat kFormat = WireFormat::kOpenAi;

/// What an answer begins with: its prompt, where it is to be repeated.
std::string echo_of(const Provider& provider, const openai::CompletionRequest& request,
                    std::uint32_t answer) {
  if (!request.is_echo) return {};
  const RawPrompt& prompt = request.prompt_of(answer);
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return provider.detokenize(std::get<std::vector<TokenId>>(prompt)).value_or(std::string());
}

}  // namespace

openai::ReplyOptions reply_options(const std::shared_ptr<Provider>& provider,
                                   std::string_view prefix, std::string_view message_id,
                                   std::string model, const openai::StreamOptions& stream,
                                   const GenerationRequest& generation) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  openai::ReplyOptions options{
      .id = std::string(prefix) + std::string(message_id.substr(message_id.find('_') + 1)),
      .model = std::move(model),
      .created_s = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
      .is_stream = stream.stream,
      .include_usage = stream.include_usage,
      .has_logprobs = generation.sampling.logprobs.has_value(),
      .detokenize = {}};
  if (options.has_logprobs) {
    options.detokenize = [provider](std::span<const TokenId> tokens) {
      return provider->detokenize(tokens).value_or(std::string());
    };
  }
  return options;
}

Reply create_chat_completion(const Models& models, const HttpRequest& request,
                             RequestContext context) {
  auto parsed = openai::parse_chat_request(request.body);
  if (!parsed) return error_response(kFormat, parsed.error(), context.request_id);
  GenerationRequest& generation = parsed->generation;
  auto refusal = prepare_generation(models, request, kFormat, context, generation);
  if (refusal) return *std::move(refusal);
  auto active = models.provider->generate(generation, std::move(context.sink));
  if (!active) return error_response(kFormat, active.error(), context.request_id);
  return PendingGeneration{.active = *std::move(active),
                           .encoder = openai::make_chat_encoder(
                               reply_options(models.provider, "chatcmpl-", context.message_id,
                                             std::move(parsed->model), parsed->stream, generation)),
                           .count_prompt = {}};
}

Reply create_completion(const Models& models, const HttpRequest& request, RequestContext context) {
  auto parsed = openai::parse_completion_request(request.body);
  if (!parsed) return error_response(kFormat, parsed.error(), context.request_id);
  auto refusal = prepare_generation(models, request, kFormat, context, parsed->generation);
  if (refusal) return *std::move(refusal);
  openai::CompletionAnswers answers{
      .log = std::make_shared<openai::AnswerLog>(), .echoes = {}, .each = parsed->answers_each};
  auto sinks = merge_answers(std::move(context.sink), answers.log, parsed->answers());
  std::vector<ActiveGeneration> running;
  for (std::uint32_t answer = 0; answer < parsed->answers(); ++answer) {
    auto active = models.provider->generate(openai::answer_request(*parsed, answer),
                                            std::move(sinks[answer]));
    // Those that run already are cancelled.
    if (!active) return error_response(kFormat, active.error(), context.request_id);
    running.push_back(*std::move(active));
    answers.echoes.push_back(echo_of(*models.provider, *parsed, answer));
  }
  return PendingGeneration{
      .active = ActiveGeneration([running = std::move(running)]() mutable { running.clear(); }),
      .encoder = openai::make_completion_encoder(
          reply_options(models.provider, "cmpl-", context.message_id, std::move(parsed->model),
                        parsed->stream, parsed->generation),
          std::move(answers)),
      .count_prompt = {}};
}

}  // namespace onnxlocal
