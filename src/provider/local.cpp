#include "provider/local.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "provider/load_parts.h"

namespace onnxlocal {
namespace {

std::string id_of(const std::string& name) { return "onnx-local/" + name; }

SamplingOptions fill_in(SamplingOptions asked, const SamplingDefaults& defaults) {
  if (!asked.temperature) asked.temperature = defaults.temperature;
  if (!asked.top_k) asked.top_k = defaults.top_k;
  if (!asked.top_p) asked.top_p = defaults.top_p;
  return asked;
}

/// Passes events on and, where the reply went well, remembers its tokens.
class RememberingSink {
 public:
  RememberingSink(EventSink sink, std::shared_ptr<const PromptBuilder> prompts,
                  std::shared_ptr<const Tokenizer> tokenizer, Prompt prompt, std::string scope)
      : sink_(std::move(sink)),
        prompts_(std::move(prompts)),
        tokenizer_(std::move(tokenizer)),
        prompt_(std::move(prompt)),
        scope_(std::move(scope)) {}

  void operator()(GenerationEvent event) {
    if (const auto* delta = std::get_if<GenerationDelta>(&event)) {
      text_ += delta->text;
      for (const TokenReport& report : delta->tokens) {
        tokens_.push_back(report.chosen.token);
        is_plain_ = is_plain_ && !tokenizer_->is_special(report.chosen.token);
      }
    } else if (const auto* finished = std::get_if<GenerationFinished>(&event)) {
      // At a stop string, tokens and text need not end at the same place.
      if (is_plain_ && finished->reason != StopReason::kStopString) {
        prompts_->remember(prompt_, scope_, text_, tokens_);
      }
    }
    sink_(std::move(event));
  }

 private:
  EventSink sink_;
  std::shared_ptr<const PromptBuilder> prompts_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Prompt prompt_;
  std::string scope_;
  std::string text_;
  std::vector<TokenId> tokens_;
  bool is_plain_ = true;  ///< No special token: those have no text that could come back.
};

}  // namespace

struct LocalProvider::Loaded {
  ModelInfo info;
  SamplingDefaults sampling;
  std::string execution_provider;
  std::vector<std::string> warnings;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const PromptBuilder> prompts;  ///< Shared with the sinks of what runs.
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
  if (engine.cache_key.empty()) engine.cache_key = order.folder.name;
  auto parts = load_parts(order.folder, order.runtime, order.progress, stop);
  if (parts && engine.speculation.kind == Speculation::kDraftModel && order.draft) {
    const auto added = add_draft_model(*parts, *order.draft, order.runtime, order.progress, stop);
    if (!added) parts = std::unexpected(added.error());
    if (added && !parts->draft_decoder) engine.speculation.kind = Speculation::kOff;
  }
  Result<Handle> loaded =
      parts ? start(*std::move(parts), std::move(engine)) : std::unexpected(parts.error());
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
  TRY(auto running, Engine::start(std::move(parts.decoder), parts.tokenizer, std::move(engine),
                                  std::move(parts.draft_decoder)));
  auto prompts = std::make_shared<const PromptBuilder>(
      parts.tokenizer, std::move(parts.chat_template), parts.bos_token);
  return std::make_shared<Loaded>(Loaded{.info = {.id = id_of(parts.name),
                                                  .display_name = parts.name,
                                                  .created_at = parts.created_at,
                                                  .context_tokens = limits.slot_tokens_max,
                                                  .tokens_max = limits.slot_tokens_max - 1},
                                         .sampling = parts.sampling,
                                         .execution_provider = std::move(parts.execution_provider),
                                         .warnings = std::move(parts.warnings),
                                         .tokenizer = std::move(parts.tokenizer),
                                         .prompts = std::move(prompts),
                                         .engine = std::move(running)});
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
  TRY(Prompt prompt, loaded->prompts->build(request.messages, request.cache_scope));
  SequenceRequest sequence;
  sequence.prompt = prompt.tokens;
  sequence.sampling = fill_in(request.sampling, loaded->sampling);
  sequence.tokens_max = request.tokens_max;
  sequence.stop_strings = request.stop_strings;
  sequence.cache_scope = request.cache_scope;
  RememberingSink remembering(std::move(sink), loaded->prompts, loaded->tokenizer,
                              std::move(prompt), request.cache_scope);
  TRY(const SequenceId id, loaded->engine->submit(std::move(sequence), std::move(remembering)));
  return ActiveGeneration([loaded, id] { loaded->engine->cancel(id); });
}

Result<ActiveGeneration> LocalProvider::generate_from_tokens(SequenceRequest request,
                                                             EventSink sink) {
  TRY(const Handle loaded, handle());
  TRY(const SequenceId id, loaded->engine->submit(std::move(request), std::move(sink)));
  return ActiveGeneration([loaded, id] { loaded->engine->cancel(id); });
}

Result<std::vector<TokenId>> LocalProvider::tokenize(const GenerationRequest& request) {
  TRY(const Handle loaded, handle());
  TRY(Prompt prompt, loaded->prompts->build(request.messages, request.cache_scope));
  return std::move(prompt.tokens);
}

Result<std::uint32_t> LocalProvider::count_tokens(const GenerationRequest& request) {
  TRY(const auto tokens, tokenize(request));
  return static_cast<std::uint32_t>(tokens.size());
}

Result<DecoderLimits> LocalProvider::limits() const {
  TRY(const Handle loaded, handle());
  return loaded->engine->limits();
}

std::vector<ModelInfo> LocalProvider::models() const {
  const auto loaded = handle();
  return {loaded ? (*loaded)->info : info_while_loading_};
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
  status.queued = engine.queued;
  status.running = engine.running;
  status.slots = engine.slots;
  status.kv_bytes_in_use = engine.kv_bytes_in_use;
  status.prefix_cache_bytes = engine.prefix_cache_bytes;
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
