#include "library/convert.h"

#include <utility>

namespace onnxlocal::embed {
namespace {

ErrorCode to_public(onnxlocal::ErrorCode code) {
  using Ours = onnxlocal::ErrorCode;
  switch (code) {
    case Ours::kInvalidRequest: return ErrorCode::kInvalidRequest;
    case Ours::kPromptTooLong: return ErrorCode::kPromptTooLong;
    case Ours::kNotFound: return ErrorCode::kNotFound;
    case Ours::kTooLarge: return ErrorCode::kTooLarge;
    case Ours::kModelCorrupt: return ErrorCode::kModelCorrupt;
    case Ours::kUnsupported: return ErrorCode::kUnsupported;
    case Ours::kDiskFull: return ErrorCode::kDiskFull;
    case Ours::kOverloaded: return ErrorCode::kOverloaded;
    case Ours::kCancelled: return ErrorCode::kCancelled;
    case Ours::kTimeout: return ErrorCode::kTimeout;
    case Ours::kUnavailable: return ErrorCode::kUnavailable;
    case Ours::kInternal: return ErrorCode::kInternal;
  }
  return ErrorCode::kInternal;
}

onnxlocal::Role to_ours(Role role) {
  switch (role) {
    case Role::kSystem: return onnxlocal::Role::kSystem;
    case Role::kUser: return onnxlocal::Role::kUser;
    case Role::kAssistant: return onnxlocal::Role::kAssistant;
  }
  return onnxlocal::Role::kUser;
}

}  // namespace

Error to_public(const onnxlocal::Error& error) {
  return {.code = to_public(error.code), .message = error.message, .hint = error.hint};
}

StopReason to_public(onnxlocal::StopReason reason) {
  using Ours = onnxlocal::StopReason;
  switch (reason) {
    case Ours::kEndOfTurn: return StopReason::kEndOfTurn;
    case Ours::kTokensMax: return StopReason::kTokensMax;
    case Ours::kStopString: return StopReason::kStopString;
    case Ours::kContextFull: return StopReason::kContextFull;
    case Ours::kToolUse: return StopReason::kEndOfTurn;  // Its requests have no tools.
  }
  return StopReason::kEndOfTurn;
}

Usage to_public(const onnxlocal::Usage& usage) {
  return {.input_tokens = usage.input_tokens,
          .cache_read_tokens = usage.cache_read_tokens,
          .cache_creation_tokens = usage.cache_creation_tokens,
          .output_tokens = usage.output_tokens};
}

Token to_public(const TokenReport& report) {
  Token token{.token = report.chosen.token, .logprob = report.chosen.logprob, .alternatives = {}};
  for (const auto& other : report.alternatives) {
    token.alternatives.push_back({.token = other.token, .logprob = other.logprob});
  }
  return token;
}

SamplingOptions to_sampling(const GenerateOptions& options) {
  return {.temperature = options.temperature,
          .top_k = options.top_k,
          .top_p = options.top_p,
          .min_p = options.min_p,
          .repetition_penalty = options.repetition_penalty,
          .frequency_penalty = options.frequency_penalty,
          .presence_penalty = options.presence_penalty,
          .logit_bias = options.logit_bias,
          .seed = options.seed,
          .logprobs = options.logprobs};
}

GenerationRequest to_request(std::span<const Message> messages, const GenerateOptions& options) {
  GenerationRequest request;
  for (const Message& message : messages) {
    request.messages.push_back(
        {.role = to_ours(message.role), .content = {TextBlock{message.text}}});
  }
  request.sampling = to_sampling(options);
  request.tokens_max = options.tokens_max;
  request.stop_strings = options.stop_strings;
  return request;
}

SequenceRequest to_sequence(std::span<const TokenId> tokens, const GenerateOptions& options) {
  SequenceRequest request;
  request.prompt.assign(tokens.begin(), tokens.end());
  request.sampling = to_sampling(options);
  request.tokens_max = options.tokens_max;
  request.stop_strings = options.stop_strings;
  return request;
}

onnxlocal::Result<RuntimeOptions> to_runtime(const ModelOptions& options) {
  RuntimeOptions runtime;
  if (!options.execution_providers.empty()) {
    TRY(runtime.execution_providers, parse_execution_providers(options.execution_providers));
  }
  if (options.parallel_max == 0) {
    return std::unexpected(invalid_request("parallel_max: expected at least 1, found 0"));
  }
  runtime.threads = options.threads;
  runtime.slots = options.parallel_max;
  runtime.context_tokens = options.context_tokens;
  runtime.kv_bytes_max = options.kv_bytes_max;
  TRY(runtime.kv_cache_type, parse_kv_cache_type(options.kv_cache_type));
  return runtime;
}

onnxlocal::Result<EngineOptions> to_engine(const ModelOptions& options) {
  EngineOptions engine;
  engine.queue_max = options.queue_max;
  engine.kv_bytes_max = options.kv_bytes_max;
  engine.prefix_cache_bytes_max = options.prefix_cache_bytes_max;
  TRY(engine.speculation.kind, parse_speculation(options.speculation));
  if (engine.speculation.kind == Speculation::kDraftModel && options.draft_model.empty()) {
    return std::unexpected(invalid_request("draft_model: speculation by a draft model needs one"));
  }
  return engine;
}

}  // namespace onnxlocal::embed
