#include "engine/loop.h"

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/intake.h"
#include "engine/limits.h"

namespace onnxlocal {
namespace {

std::uint64_t system_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) ^ device();
}

/// Calls the right one of several lambdas.
template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

/// A mask takes a fraction of a step, and steps do not overlap.
constexpr unsigned kMaskWorkers = 2;

Error shutting_down() { return unavailable("the engine is shutting down", "try again later"); }

}  // namespace

// The channel needs no bound of its own: submits are bounded by tickets, cancels and masks by what
// was submitted, and none may be lost.
EngineLoop::EngineLoop(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Tokenizer> tokenizer,
                       EngineOptions options, std::unique_ptr<Drafter> drafter, MaskDispatch masks)
    : tokenizer_(std::move(tokenizer)),
      options_(std::move(options)),
      seed_(options_.random_seed.value_or(system_seed())),
      limits_(decoder->limits()),
      shared_tokens_max_(decoder->free_tokens()),
      executor_(
          std::move(decoder), options_,
          masks ? std::move(masks) : [this](MaskJob job) { compute_mask(std::move(job)); },
          std::move(drafter), [this] { static_cast<void>(messages_.push(DiskNews{})); }),
      status_(executor_.status()),
      messages_(std::numeric_limits<std::size_t>::max()) {
  if (!tokenizer_) return;
  executor_.explain_with(
      [this](std::span<const TokenId> tokens) { return tokenizer_->decode(tokens).value_or(""); });
}

Result<SequenceId> EngineLoop::submit(SequenceRequest request, EventSink sink) {
  if (!is_accepting_) return std::unexpected(shutting_down());
  TRY_VOID(check_request(request, limits_, tokenizer_ != nullptr));
  TRY(const Clamped clamped, clamp_request(request, limits_, options_, shared_tokens_max_));

  const bool is_batch = request.priority == Priority::kBatch;
  std::atomic<std::uint32_t>& tickets = is_batch ? batch_tickets_ : live_tickets_;
  IntakeTicket ticket(tickets);
  const std::uint64_t most =
      std::uint64_t{limits_.slots} + (is_batch ? options_.batch_queue_max : options_.queue_max);
  if (tickets > most) {
    return std::unexpected(
        overloaded(fmt::format("{} requests are running or waiting already", most),
                   "try again later, or raise the number of slots or the queue's length"));
  }
  const SequenceId id{next_id_++};
  // Built here, so that the engine's thread need not count the prompt's tokens for penalties.
  Sampler sampler(request.sampling, seed_ + id.value, request.prompt);
  Output output(tokenizer_.get(), request.stop_strings, request.visible_tokens);
  request.tokens_max = clamped.tokens_max;
  std::vector<TokenId> tokens = std::exchange(request.prompt, {});
  const auto prompt_tokens = static_cast<std::uint32_t>(tokens.size());
  auto sequence = std::make_unique<Sequence>(Sequence{
      .id = id,
      .request = std::move(request),
      .is_clamped = clamped.is_clamped,
      .prompt_tokens = prompt_tokens,
      .tokens = std::move(tokens),
      .prefill_tokens = prompt_tokens,
      .kv_bytes_reserved = clamped.kv_bytes,
      .sink = std::move(sink),
      .ticket = std::move(ticket),
      .sampler = std::move(sampler),
      .output = std::move(output),
      .slot = std::nullopt,
      .position = 0,
      .draft = {},
      .kept = {},
      .masks = nullptr,
      .held_logits = {},
      .usage = {},
      .has_begun = false,
      .accounted_tokens = 0,
      .end = std::nullopt,
  });
  if (messages_.push(Submit{.sequence = std::move(sequence)}) != ChannelPush::kAccepted) {
    return std::unexpected(shutting_down());
  }
  return id;
}

void EngineLoop::cancel(SequenceId sequence) {
  // A closed channel means that everything has ended.
  static_cast<void>(messages_.push(Cancel{.sequence = sequence}));
}

/// The workers start with the first constraint: most engines never see one.
void EngineLoop::compute_mask(MaskJob job) {
  if (!workers_) {
    // A closed channel means that everything has ended.
    workers_.emplace(kMaskWorkers, [this] { static_cast<void>(messages_.push(MaskCame{})); });
  }
  workers_->run(std::move(job));
}

EngineStatus EngineLoop::status() const {
  const std::scoped_lock lock(status_mutex_);
  return status_;
}

std::optional<Usage> EngineLoop::prompt_usage(SequenceId sequence) const {
  const std::scoped_lock lock(status_mutex_);
  const auto found = std::ranges::find(prompts_, sequence, &PromptUsage::sequence);
  if (found == prompts_.end()) return std::nullopt;
  return found->usage;
}

void EngineLoop::begin_shut_down(Deadline deadline) {
  is_accepting_ = false;
  static_cast<void>(messages_.push(ShutDown{.deadline = deadline}));
}

void EngineLoop::take(EngineMessage message) {
  std::visit(Overloaded{
                 [this](Submit& submit) { executor_.enqueue(std::move(submit.sequence)); },
                 [this](Cancel& cancel) { executor_.cancel(cancel.sequence, cancelled()); },
                 [this](ShutDown& shut_down) {
                   is_shutting_down_ = true;
                   shut_down_deadline_ = shut_down.deadline;
                 },
                 [](MaskCame&) {},  // The next step looks for it.
                 [](DiskNews&) {},
             },
             message);
}

bool EngineLoop::run_one_step() {
  while (auto message = messages_.try_pop()) take(*std::move(message));
  if (is_shutting_down_ && shut_down_deadline_.has_passed() && executor_.has_work()) {
    cancelled_at_shut_down_ = true;
    executor_.cancel_all(cancelled("the engine shut down"));
  }
  const bool has_run = executor_.has_work() && executor_.step();
#ifndef NDEBUG
  const auto sound = executor_.check_invariants();
  if (!sound) LOG_ERROR("{}", describe(sound.error()));
  CHECK(sound.has_value());
#endif
  publish_and_deliver();
  return has_run;
}

void EngineLoop::publish_and_deliver() {
  {
    const std::scoped_lock lock(status_mutex_);
    status_ = executor_.status();
    prompts_ = executor_.prompt_usages();
  }
  executor_.deliver_ends();
}

void EngineLoop::run() {
  while (true) {
    if (run_one_step()) continue;
    if (is_shutting_down_ && !executor_.has_work()) break;
    const auto sound = executor_.check_invariants();
    if (!sound) LOG_ERROR("{}", describe(sound.error()));
    CHECK(sound.has_value());
    if (auto message = messages_.pop(wait_until())) take(*std::move(message));
  }
  close();
}

/// For a message: until a shutdown's deadline, or until the disk has been waited for long enough.
Deadline EngineLoop::wait_until() const {
  const auto wake_at = executor_.wake_at();
  Deadline until = is_shutting_down_ ? shut_down_deadline_ : Deadline{};
  if (wake_at == std::chrono::steady_clock::time_point::max()) return until;
  const Deadline wake = Deadline::after(wake_at - options_.now());
  return wake.at() < until.at() ? wake : until;
}

/// What came between the last step and the closing of the channel was accepted: it gets its end.
void EngineLoop::close() {
  messages_.close();
  while (auto message = messages_.try_pop()) take(*std::move(message));
  if (executor_.has_work()) {
    cancelled_at_shut_down_ = true;
    executor_.cancel_all(cancelled("the engine shut down"));
  }
  publish_and_deliver();
  executor_.close_disk(Deadline::after(kDiskFlushMax));
}

// Its thread sends messages, and outlives the channel otherwise.
EngineLoop::~EngineLoop() {
  executor_.close_disk(Deadline::after(Deadline::Clock::duration::zero()));
}

}  // namespace onnxlocal
