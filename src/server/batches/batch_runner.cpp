#include "server/batches/batch_runner.h"

#include <algorithm>
#include <optional>
#include <variant>

#include "api/anthropic/request.h"
#include "api/anthropic/response_encoder.h"
#include "base/log.h"
#include "server/metered_sink.h"

namespace onnxlocal {

namespace {

/// A request for which there never is room (its keys and values would not fit) is not tried for
/// ever.
constexpr std::uint32_t kRefusalsMax = 10;

/// True where the same request may well run later, so that it keeps waiting.
bool is_passing(ErrorCode code) {
  return code == ErrorCode::kOverloaded || code == ErrorCode::kUnavailable ||
         code == ErrorCode::kCancelled;
}

Result<anthropic::MessagesRequest> decode(const PendingRequest& request, const Models& models) {
  auto parsed = anthropic::parse_messages_request(request.params, anthropic::RequestKind::kCreate,
                                                  {.betas = {}, .read_pdf = models.read_pdf});
  if (!parsed) return std::unexpected(parsed.error().error);
  if (parsed->stream) {
    return std::unexpected(invalid_request("stream: a batch's requests have no stream"));
  }
  TRY_VOID(choose_model(parsed->generation, models));
  parsed->generation.cache_scope = cache_scope_of(request.owner);
  parsed->generation.priority = Priority::kBatch;
  return *std::move(parsed);
}

}  // namespace

BatchRunner::BatchRunner(Models models, std::shared_ptr<Metrics> metrics,
                         BatchRunnerOptions options)
    : models_(std::move(models)),
      metrics_(std::move(metrics)),
      options_(std::move(options)),
      ids_(random_seed()),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

BatchRunner::~BatchRunner() { stop(); }

void BatchRunner::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Result<std::shared_ptr<BatchStore>> BatchRunner::store() {
  const std::scoped_lock lock(mutex_);
  if (!store_) {
    TRY(store_, BatchStore::open(options_.folder, options_.clock));
  }
  return store_;
}

void BatchRunner::wake() {
  {
    const std::scoped_lock lock(mutex_);
    is_woken_ = true;
  }
  changed_.notify_all();
}

void BatchRunner::wait(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, options_.tick, [this] { return is_woken_; });
  is_woken_ = false;
}

void BatchRunner::run(const std::stop_token& stop) {
  bool was_told = false;
  while (!stop.stop_requested()) {
    const auto opened = store();
    if (opened) {
      work(**opened);
    } else if (!std::exchange(was_told, true)) {
      LOG_WARNING("batches wait: {}", describe(opened.error()));
    }
    wait(stop);
  }
  // What runs is cancelled, and pending again at the next start.
  for (auto& [key, running] : running_) running.inbox->close();
  running_.clear();
}

void BatchRunner::work(BatchStore& store) {
  std::erase_if(running_, [&](const auto& entry) { return deliver(store, entry.second); });
  auto more = store.sweep();
  while (more && *more) more = store.sweep();
  if (!more) LOG_ERROR("{}", describe(more.error()));
  start_more(store);
  if (const auto count = store.pending_count()) metrics_->set_pending_batch_requests(*count);
}

bool BatchRunner::deliver(BatchStore& store, const Running& running) {
  for (const GenerationEvent& event : running.inbox->take_all()) {
    if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
      fail(store, running.request, failed->error);
      running.inbox->close();
      return true;
    }
    const std::string body = running.encoder->encode(event);
    if (!std::holds_alternative<GenerationFinished>(event)) continue;
    write(store, running.request, BatchOutcome::kSucceeded,
          anthropic::batch_succeeded_line(running.request.custom_id, body));
    running.inbox->close();
    return true;
  }
  return false;
}

void BatchRunner::start_more(BatchStore& store) {
  const ProviderStatus status = models_.provider->status();
  if (status.state != ProviderStatus::State::kReady) return;
  const std::size_t slots = std::max(1U, status.slots);
  const std::size_t room = std::min<std::size_t>(options_.concurrency, slots);
  // What runs is pending too: as many more show what does not.
  auto pending = store.pending(room + running_.size());
  if (!pending) {
    LOG_ERROR("{}", describe(pending.error()));
    return;
  }
  // What was cancelled, or has expired, is no longer pending.
  const auto is_pending = [&](const Key& key) {
    return std::ranges::any_of(*pending, [&](const PendingRequest& request) {
      return Key(request.batch, request.position) == key;
    });
  };
  std::erase_if(running_, [&](const auto& entry) {
    if (is_pending(entry.first)) return false;
    entry.second.inbox->close();
    return true;
  });
  for (PendingRequest& request : *pending) {
    if (running_.size() >= room) break;
    if (running_.contains({request.batch, request.position})) continue;
    start_one(store, std::move(request));
  }
}

void BatchRunner::start_one(BatchStore& store, PendingRequest request) {
  auto decoded = decode(request, models_);
  if (!decoded) {
    fail(store, request, decoded.error());
    return;
  }
  Running running{.request = {},
                  .encoder = anthropic::make_response_encoder(
                      {.id = ids_.make("msg_"), .model = decoded->model, .request_id = {}},
                      /*is_stream=*/false),
                  .inbox = std::make_shared<EventInbox>([this] { wake(); }),
                  .active = {}};
  EventSink sink = [inbox = running.inbox](GenerationEvent event) {
    inbox->push(std::move(event));
  };
  auto active =
      models_.provider->generate(decoded->generation, metered(std::move(sink), metrics_, {}));
  if (!active) {
    running.inbox->close();
    fail(store, request, active.error());
    return;
  }
  running.active = *std::move(active);
  running.request = std::move(request);
  const Key key(running.request.batch, running.request.position);
  refusals_.erase(key);
  running_.emplace(key, std::move(running));
}

void BatchRunner::fail(BatchStore& store, const PendingRequest& request, const Error& error) {
  const Key key(request.batch, request.position);
  if (is_passing(error.code)) {
    const bool counts = error.code == ErrorCode::kOverloaded;
    if (!counts || ++refusals_[key] < kRefusalsMax) return;
  }
  refusals_.erase(key);
  write(store, request, BatchOutcome::kErrored,
        anthropic::batch_errored_line(request.custom_id, error));
}

void BatchRunner::write(BatchStore& store, const PendingRequest& request, BatchOutcome outcome,
                        std::string_view line) {
  const auto written = store.finish(request, outcome, line);
  // It stays pending, and runs again.
  if (!written) LOG_ERROR("{}", describe(written.error()));
  // There may be more to start.
  if (written) wake();
}

}  // namespace onnxlocal
