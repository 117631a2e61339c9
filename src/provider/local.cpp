#include "provider/local.h"

#include <chrono>
#include <filesystem>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "dialect/dialect.h"
#include "model/content_hash.h"
#include "provider/load_parts.h"
#include "provider/reply_plan.h"
#include "provider/reply_run.h"
#include "provider/warm_up.h"

namespace onnxlocal {
namespace {

std::string id_of(const std::string& name) { return "onnx-local/" + name; }

SamplingOptions fill_in(SamplingOptions asked, const SamplingDefaults& defaults) {
  if (!asked.temperature) asked.temperature = defaults.temperature;
  if (!asked.top_k) asked.top_k = defaults.top_k;
  if (!asked.top_p) asked.top_p = defaults.top_p;
  return asked;
}

PromptRequest prompt_request(const GenerationRequest& request, const Dialect& dialect) {
  return {.messages = request.messages,
          .tools = request.tools,
          .wants_thinking = wants_thinking(request, dialect),
          .scope = request.cache_scope};
}

std::shared_ptr<const Dialect> dialect_of(const LocalParts& parts) {
  const auto has_token = [&](std::string_view token) {
    return parts.tokenizer->token_id(token).has_value();
  };
  const std::string_view source =
      parts.chat_template ? std::string_view(parts.chat_template->source()) : std::string_view();
  return std::make_shared<const Dialect>(detect_dialect(source, has_token));
}

/// Nearly all do: so it is said before it is known.
bool seems_to_take_grammars(const ModelTongue& tongue) {
  const auto status = tongue.takes_grammars.wait_for(std::chrono::seconds(0));
  return status != std::future_status::ready || tongue.takes_grammars.get();
}

void add_engine(ProviderStatus& status, const EngineStatus& engine) {
  status.queued = engine.queued;
  status.queued_batch = engine.queued_batch;
  status.running = engine.running;
  status.slots = engine.slots;
  status.kv_bytes_in_use = engine.kv_bytes_in_use;
  status.prefix_cache_bytes = engine.prefix_cache_bytes;
  status.prefix_cache_pinned_bytes = engine.prefix_cache_pinned_bytes;
  status.prefix_cache_evictions = engine.prefix_cache_evictions;
  status.disk_cache_bytes = engine.disk_cache_bytes;
  status.disk_cache_pinned_bytes = engine.disk_cache_pinned_bytes;
  status.disk_cache_evictions = engine.disk_cache_evictions;
  status.disk_cached_tokens = engine.disk_cached_tokens;
  status.prefill_tokens = engine.prefill_tokens;
  status.prefill_seconds = engine.prefill_seconds;
  status.decode_tokens = engine.decode_tokens;
  status.decode_seconds = engine.decode_seconds;
  status.draft_tokens = engine.draft_tokens;
  status.accepted_tokens = engine.accepted_tokens;
  status.masks_late = engine.masks_late;
  status.preemptions = engine.preemptions;
}

}  // namespace

struct LocalProvider::Loaded {
  ModelInfo info;
  SamplingDefaults sampling;
  std::string execution_provider;
  std::vector<std::string> warnings;
  ModelTongue tongue;
  std::shared_ptr<const PromptBuilder> prompts;  ///< Shared with the sinks of what runs.
  std::unique_ptr<RuleCaches> caches;
  std::unique_ptr<Engine> engine;
};

LocalProvider::LocalProvider(std::string name) : name_(std::move(name)), loaded_(Handle()) {}

LocalProvider::~LocalProvider() { shut_down(Deadline::after(Deadline::Clock::duration::zero())); }

std::unique_ptr<LocalProvider> LocalProvider::load(ModelFolder folder, RuntimeOptions runtime,
                                                   EngineOptions engine,
                                                   std::optional<ModelFolder> draft,
                                                   ProgressSink progress) {
  std::unique_ptr<LocalProvider> provider(new LocalProvider(folder.name));
  provider->info_while_loading_ = describe_model(folder, runtime);
  provider->loader_ = std::jthread(
      [self = provider.get(),
       order = LoadOrder{std::move(folder), std::move(draft), std::move(runtime), std::move(engine),
                         std::move(progress)}](const std::stop_token& stop) mutable {
        self->load_on_this_thread(std::move(order), stop);
      });
  return provider;
}

Result<std::unique_ptr<LocalProvider>> LocalProvider::from_parts(LocalParts parts,
                                                                 EngineOptions engine) {
  std::unique_ptr<LocalProvider> provider(new LocalProvider(parts.name));
  TRY(auto loaded, start(std::move(parts), std::move(engine)));
  provider->set_loaded(std::move(loaded));
  return provider;
}

void LocalProvider::load_on_this_thread(LoadOrder order, const std::stop_token& stop) {
  const auto begin = std::chrono::steady_clock::now();
  EngineOptions& engine = order.engine;
  if (engine.end_tokens.empty()) engine.end_tokens = order.folder.config.eos_tokens;
  if (engine.cache_key.empty()) engine.cache_key = content_hash(order.folder);
  engine.disk_cache.model = order.folder.name;
  auto parts = load_parts(order.folder, order.runtime, order.progress, stop);
  if (parts && engine.speculation.kind == Speculation::kDraftModel && order.draft) {
    const auto added = add_draft_model(*parts, *order.draft, order.runtime, order.progress, stop);
    if (!added) parts = std::unexpected(added.error());
    if (added && !parts->draft_decoder) engine.speculation.kind = Speculation::kOff;
  }
  Result<Handle> loaded =
      parts ? start(*std::move(parts), std::move(engine)) : std::unexpected(parts.error());
  if (loaded) warm_up(*(*loaded)->engine, stop);
  const auto took = std::chrono::steady_clock::now() - begin;
  if (loaded) {
    LOG_INFO("model {} is ready on {} after {} ms", name_, (*loaded)->execution_provider,
             std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
  } else if (!stop.stop_requested()) {
    LOG_ERROR("model {} was not loaded: {}", name_, describe(loaded.error()));
  }
  set_loaded(std::move(loaded));
}

Result<LocalProvider::Handle> LocalProvider::start(LocalParts parts, EngineOptions engine) {
  if (!parts.tokenizer || !parts.decoder) {
    return std::unexpected(invalid_request("a model needs a decoder and a tokenizer"));
  }
  const DecoderLimits limits = parts.decoder->limits();
  if (!parts.takes_grammars.valid()) parts.takes_grammars = find_out_grammars(parts.tokenizer);
  auto loaded = std::make_shared<Loaded>();
  loaded->tongue = {.tokenizer = parts.tokenizer,
                    .dialect = dialect_of(parts),
                    .end_tokens = engine.end_tokens,
                    .takes_grammars = parts.takes_grammars};
  loaded->prompts = std::make_shared<const PromptBuilder>(
      parts.tokenizer, PromptBuilder::Options{.chat_template = std::move(parts.chat_template),
                                              .dialect = loaded->tongue.dialect,
                                              .bos_token = parts.bos_token,
                                              .adds_bos = parts.adds_bos,
                                              .end_tokens = engine.end_tokens});
  loaded->caches = std::make_unique<RuleCaches>();
  TRY(loaded->engine, Engine::start(std::move(parts.decoder), parts.tokenizer, std::move(engine),
                                    std::move(parts.draft_decoder)));
  ModelInfo& info = loaded->info;
  info.id = id_of(parts.name);
  info.display_name = parts.name;
  info.created_at = parts.created_at;
  info.context_tokens = limits.slot_tokens_max;
  info.tokens_max = limits.slot_tokens_max - 1;
  info.can_think = loaded->tongue.dialect->can_think;
  loaded->sampling = parts.sampling;
  loaded->execution_provider = std::move(parts.execution_provider);
  loaded->warnings = std::move(parts.warnings);
  return loaded;
}

void LocalProvider::set_loaded(Result<Handle> loaded) {
  {
    const std::scoped_lock lock(mutex_);
    loaded_ = std::move(loaded);
  }
  loaded_or_failed_.notify_all();
}

Result<LocalProvider::Handle> LocalProvider::handle() const {
  const std::scoped_lock lock(mutex_);
  if (loaded_ && !*loaded_) {
    return std::unexpected(
        unavailable(fmt::format("the model {} is still loading", name_), "try again in a moment"));
  }
  return loaded_;
}

Result<void> LocalProvider::wait_until_loaded(Deadline deadline) const {
  const auto is_over = [this] { return !loaded_ || *loaded_; };
  std::unique_lock lock(mutex_);
  if (deadline.is_unreachable()) {
    loaded_or_failed_.wait(lock, is_over);
  } else if (!loaded_or_failed_.wait_until(lock, deadline.at(), is_over)) {
    return std::unexpected(timed_out(fmt::format("the model {} is still loading", name_)));
  }
  if (!loaded_) return std::unexpected(loaded_.error());
  return {};
}

Result<ActiveGeneration> LocalProvider::generate(const GenerationRequest& request, EventSink sink) {
  TRY(const Handle loaded, handle());
  if (request.raw_prompt) return continue_raw(loaded, request, std::move(sink));
  const PromptRequest asked = prompt_request(request, *loaded->tongue.dialect);
  ReplyRun::Parts parts;
  parts.engine = loaded->engine.get();
  parts.prompts = loaded->prompts;
  parts.tongue = loaded->tongue;
  TRY(parts.prompt, loaded->prompts->build(asked));
  TRY(parts.plan, plan_reply(request, loaded->tongue, parts.prompt, *loaded->caches));
  parts.sequence.sampling = fill_in(request.sampling, loaded->sampling);
  parts.sequence.tokens_max = request.tokens_max;
  parts.sequence.stop_strings = request.stop_strings;
  parts.sequence.cache_scope = request.cache_scope;
  parts.sequence.priority = request.priority;
  parts.sequence.agent = request.agent;
  for (const CacheBreakpoint& breakpoint : request.cache_breakpoints) {
    // A beginning that the template cannot render alone is not pinned; nothing else depends on it.
    const auto tokens = loaded->prompts->prefix_tokens(asked, breakpoint.messages, parts.prompt);
    if (!tokens || *tokens == 0) continue;
    parts.sequence.pins.push_back(
        {.tokens = static_cast<std::uint32_t>(*tokens), .ttl = breakpoint.ttl});
  }
  parts.sink = std::move(sink);
  TRY(auto run, ReplyRun::start(std::move(parts)));
  return ActiveGeneration([loaded, run] { run->cancel(); },
                          [loaded, run] { return run->prompt_usage(); });
}

/// What continues a raw prompt is text, whatever it looks like.
Result<ActiveGeneration> LocalProvider::continue_raw(const Handle& loaded,
                                                     const GenerationRequest& request,
                                                     EventSink sink) {
  SequenceRequest sequence;
  TRY(sequence.prompt, loaded->prompts->raw_tokens(*request.raw_prompt));
  sequence.sampling = fill_in(request.sampling, loaded->sampling);
  sequence.tokens_max = request.tokens_max;
  sequence.stop_strings = request.stop_strings;
  sequence.cache_scope = request.cache_scope;
  sequence.priority = request.priority;
  sequence.agent = request.agent;
  TRY(const SequenceId id, loaded->engine->submit(std::move(sequence), std::move(sink)));
  return ActiveGeneration([loaded, id] { loaded->engine->cancel(id); },
                          [loaded, id] { return loaded->engine->prompt_usage(id); });
}

Result<ActiveGeneration> LocalProvider::generate_from_tokens(SequenceRequest request,
                                                             EventSink sink) {
  TRY(const Handle loaded, handle());
  TRY(const SequenceId id, loaded->engine->submit(std::move(request), std::move(sink)));
  return ActiveGeneration([loaded, id] { loaded->engine->cancel(id); });
}

Result<std::vector<TokenId>> LocalProvider::tokenize(const GenerationRequest& request) {
  TRY(const Handle loaded, handle());
  if (request.raw_prompt) return loaded->prompts->raw_tokens(*request.raw_prompt);
  TRY(Prompt prompt, loaded->prompts->build(prompt_request(request, *loaded->tongue.dialect)));
  return std::move(prompt.tokens);
}

Result<std::uint32_t> LocalProvider::count_tokens(const GenerationRequest& request) {
  TRY(const auto tokens, tokenize(request));
  return static_cast<std::uint32_t>(tokens.size());
}

Result<std::string> LocalProvider::detokenize(std::span<const TokenId> tokens) const {
  TRY(const Handle loaded, handle());
  return loaded->tongue.tokenizer->decode(tokens);
}

Result<DecoderLimits> LocalProvider::limits() const {
  TRY(const Handle loaded, handle());
  return loaded->engine->limits();
}

std::vector<ModelInfo> LocalProvider::models() const {
  const auto loaded = handle();
  if (!loaded) return {info_while_loading_};
  ModelInfo info = (*loaded)->info;
  info.calls_tools = info.structured_outputs = seems_to_take_grammars((*loaded)->tongue);
  return {std::move(info)};
}

ProviderStatus LocalProvider::status() const {
  ProviderStatus status;
  status.model = id_of(name_);
  const auto loaded = handle();
  if (!loaded) {
    const bool is_loading = loaded.error().code == ErrorCode::kUnavailable && [this] {
      const std::scoped_lock lock(mutex_);
      return loaded_.has_value();
    }();
    if (is_loading) return status;
    status.state = ProviderStatus::State::kFailed;
    status.failure = loaded.error();
    return status;
  }
  const EngineStatus engine = (*loaded)->engine->status();
  status.state = engine.failed ? ProviderStatus::State::kFailed : ProviderStatus::State::kReady;
  if (engine.failed) {
    status.failure = internal_error("the model fails at every step", "the log says why");
  }
  status.execution_provider = (*loaded)->execution_provider;
  status.warnings = (*loaded)->warnings;
  add_engine(status, engine);
  return status;
}

void LocalProvider::shut_down(Deadline deadline) {
  std::call_once(shut_down_once_, [&] {
    loader_.request_stop();
    if (loader_.joinable()) loader_.join();
    if (const auto loaded = handle()) (*loaded)->engine->shut_down(deadline);
  });
}

}  // namespace onnxlocal
