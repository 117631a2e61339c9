#include "onnxlocal/model.h"

#include <deque>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "library/convert.h"
#include "library/pending_reply.h"
#include "provider/local.h"
#include "store/model_store.h"

namespace onnxlocal::embed {
namespace {

Deadline deadline_of(const GenerateOptions& options) {
  if (options.time_limit.count() <= 0) return {};
  return Deadline::after(options.time_limit);
}

template <class T>
Result<T> to_public_result(onnxlocal::Result<T> result) {
  if (!result) return std::unexpected(to_public(result.error()));
  return *std::move(result);
}

}  // namespace

class Model::Impl {
 public:
  using Provider = std::shared_ptr<LocalProvider>;

  Impl(ModelFolder folder, std::optional<ModelFolder> draft, RuntimeOptions runtime,
       EngineOptions engine)
      : folder_(std::move(folder)),
        draft_(std::move(draft)),
        runtime_(std::move(runtime)),
        engine_(std::move(engine)) {}

  Result<void> initialize() {
    const std::scoped_lock loading(loading_mutex_);
    if (provider()) return {};
    Provider fresh = LocalProvider::load(folder_, runtime_, engine_, draft_);
    if (const auto loaded = fresh->wait_until_loaded(); !loaded) {
      return std::unexpected(to_public(loaded.error()));
    }
    const std::scoped_lock lock(mutex_);
    provider_ = std::move(fresh);
    return {};
  }

  /// Calls that run hold the provider; they end at once, and the last one frees it.
  void dispose() {
    Provider old;
    {
      const std::scoped_lock lock(mutex_);
      old = std::exchange(provider_, nullptr);
    }
    if (old) old->shut_down(Deadline::after(Deadline::Clock::duration::zero()));
  }

  Provider provider() const {
    const std::scoped_lock lock(mutex_);
    return provider_;
  }

  Result<Provider> initialized() const {
    if (auto ready = provider()) return ready;
    return std::unexpected(Error{.code = ErrorCode::kUnavailable,
                                 .message = "the model is not initialized",
                                 .hint = "call initialize() first"});
  }

  /// One reply; `begin(provider, sink)` submits it.
  template <class Begin>
  Result<Reply> reply_to(Begin begin, const GenerateOptions& options,
                         const TextCallback& on_text) const {
    auto provider = initialized();
    if (!provider) return std::unexpected(provider.error());
    PendingReply pending;
    auto active = begin(**provider, pending.sink());
    if (!active) return std::unexpected(to_public(active.error()));
    pending.set_active(*std::move(active));
    return pending.collect(on_text, deadline_of(options));
  }

  const ModelFolder& folder() const { return folder_; }

 private:
  // Constant after construction.
  const ModelFolder folder_;
  const std::optional<ModelFolder> draft_;
  const RuntimeOptions runtime_;
  const EngineOptions engine_;

  std::mutex loading_mutex_;  ///< One load at a time.
  mutable std::mutex mutex_;
  Provider provider_;  ///< Guarded by mutex_; null where nothing is loaded.
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&& other) noexcept = default;
Model& Model::operator=(Model&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->dispose();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Model::~Model() {
  if (impl_) impl_->dispose();
}

Result<Model> Model::create(const ModelOptions& options) {
  const auto make = [&]() -> onnxlocal::Result<std::unique_ptr<Impl>> {
    TRY(const LogLevel log_level, parse_log_level(options.log_level));
    set_log_level(log_level);
    TRY(RuntimeOptions runtime, to_runtime(options));
    runtime.log_level = log_level;
    TRY(StorePaths paths, store_paths());
    runtime.cache_folder = paths.cache;
    const ModelStore store(std::move(paths));
    TRY(ModelFolder folder, store.resolve(options.model));
    TRY(EngineOptions engine, to_engine(options));
    std::optional<ModelFolder> draft;
    if (engine.speculation.kind == Speculation::kDraftModel) {
      TRY(draft, store.resolve(options.draft_model));
    }
    return std::make_unique<Impl>(std::move(folder), std::move(draft), std::move(runtime),
                                  std::move(engine));
  };
  auto impl = make();
  if (!impl) return std::unexpected(to_public(impl.error()));
  return Model(*std::move(impl));
}

Result<void> Model::initialize() { return impl_->initialize(); }

bool Model::is_initialized() const { return impl_->provider() != nullptr; }

ModelInfo Model::model_info() const {
  const ModelFolder& folder = impl_->folder();
  ModelInfo info{.name = folder.name,
                 .folder = folder.path.string(),
                 .architecture = folder.config.architecture,
                 .context_tokens = folder.config.context_tokens,
                 .vocabulary_size = folder.config.vocabulary_size,
                 .execution_provider = {},
                 .warnings = {}};
  if (const auto provider = impl_->provider()) {
    const ProviderStatus status = provider->status();
    info.execution_provider = status.execution_provider;
    info.warnings = status.warnings;
    if (const auto limits = provider->limits()) info.context_tokens = limits->slot_tokens_max;
  }
  return info;
}

Result<Reply> Model::generate(std::span<const Message> messages, const GenerateOptions& options,
                              const TextCallback& on_text) {
  const auto begin = [&](LocalProvider& provider, EventSink sink) {
    return provider.generate(to_request(messages, options), std::move(sink));
  };
  return impl_->reply_to(begin, options, on_text);
}

Result<Reply> Model::generate(std::span<const TokenId> tokens, const GenerateOptions& options,
                              const TextCallback& on_text) {
  const auto begin = [&](LocalProvider& provider, EventSink sink) {
    return provider.generate_from_tokens(to_sequence(tokens, options), std::move(sink));
  };
  return impl_->reply_to(begin, options, on_text);
}

std::vector<Result<Reply>> Model::generate_batch(std::span<const std::vector<Message>> batch,
                                                 const GenerateOptions& options) {
  const auto provider = impl_->initialized();
  if (!provider) return {batch.size(), std::unexpected(provider.error())};
  const Deadline deadline = deadline_of(options);
  std::vector<Result<Reply>> replies(batch.size());
  struct Running {
    std::size_t index;
    PendingReply reply;
  };
  std::deque<Running> running;
  const auto collect_oldest = [&] {
    replies[running.front().index] = running.front().reply.collect({}, deadline);
    running.pop_front();
  };
  for (std::size_t i = 0; i < batch.size();) {
    PendingReply pending;
    auto active = (*provider)->generate(to_request(batch[i], options), pending.sink());
    const bool is_full = !active && active.error().code == onnxlocal::ErrorCode::kOverloaded;
    if (is_full && !running.empty()) {
      collect_oldest();
      continue;
    }
    if (active) {
      pending.set_active(*std::move(active));
      running.push_back({.index = i, .reply = std::move(pending)});
    } else {
      replies[i] = std::unexpected(to_public(active.error()));
    }
    ++i;
  }
  while (!running.empty()) collect_oldest();
  return replies;
}

Result<std::vector<TokenId>> Model::tokenize(std::span<const Message> messages) {
  auto provider = impl_->initialized();
  if (!provider) return std::unexpected(provider.error());
  return to_public_result((*provider)->tokenize(to_request(messages, {})));
}

void Model::dispose() { impl_->dispose(); }

}  // namespace onnxlocal::embed
