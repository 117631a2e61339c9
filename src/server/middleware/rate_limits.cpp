#include "server/middleware/rate_limits.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace onnxlocal {

namespace {

constexpr double kSecondsPerMinute = 60.0;
using Seconds = std::chrono::duration<double>;

std::string rfc3339(Clock::Wall time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::optional<TokenBucket> bucket_of(std::optional<std::uint32_t> per_minute, Clock::Steady now) {
  if (!per_minute) return std::nullopt;
  return TokenBucket(*per_minute, now);
}

}  // namespace

TokenBucket::TokenBucket(std::uint32_t per_minute, Clock::Steady now)
    : per_minute_(per_minute), level_(per_minute), at_(now) {
  CHECK(per_minute > 0);
}

double TokenBucket::level(Clock::Steady now) const {
  const double refilled = Seconds(now - at_).count() * per_minute_ / kSecondsPerMinute;
  return std::min<double>(per_minute_, level_ + std::max(0.0, refilled));
}

void TokenBucket::take(double amount, Clock::Steady now) {
  level_ = level(now) - amount;
  at_ = now;
}

Seconds TokenBucket::time_until(double amount, Clock::Steady now) const {
  return Seconds(std::max(0.0, amount - level(now)) * kSecondsPerMinute / per_minute_);
}

/// What one key has used. Its members are guarded by `mutex`, but for the clock.
struct KeyUsage {
  KeyUsage(const KeyLimits& its_limits, const Clock& the_clock)
      : clock(the_clock), limits(its_limits) {
    const Clock::Steady now = clock.steady();
    requests = bucket_of(limits.requests_per_minute, now);
    tokens = bucket_of(limits.tokens_per_minute, now);
    input_tokens = bucket_of(limits.input_tokens_per_minute, now);
    output_tokens = bucket_of(limits.output_tokens_per_minute, now);
  }

  std::vector<HttpHeader> headers() const {
    std::vector<HttpHeader> all;
    add_headers(all, "requests", requests);
    add_headers(all, "tokens", tokens);
    add_headers(all, "input-tokens", input_tokens);
    add_headers(all, "output-tokens", output_tokens);
    return all;
  }

  void add_headers(std::vector<HttpHeader>& all, std::string_view what,
                   const std::optional<TokenBucket>& bucket) const {
    if (!bucket) return;
    const Clock::Steady now = clock.steady();
    const double left = std::max(0.0, std::floor(bucket->level(now)));
    const auto until_full =
        std::chrono::ceil<std::chrono::seconds>(bucket->time_until(bucket->per_minute(), now));
    const auto name = [&](std::string_view end) {
      return fmt::format("anthropic-ratelimit-{}-{}", what, end);
    };
    all.push_back({name("limit"), std::to_string(bucket->per_minute())});
    all.push_back({name("remaining"), fmt::format("{:.0f}", left)});
    all.push_back({name("reset"), rfc3339(clock.wall() + until_full)});
  }

  /// Which limit is in the way; empty where none is.
  std::optional<RateRefusal> refusal() const {
    if (limits.concurrent_requests && running >= *limits.concurrent_requests) {
      return RateRefusal{
          .message = fmt::format("This key may have {} requests at a time; as many are running",
                                 *limits.concurrent_requests),
          .retry_after_s = 1,
          .headers = headers()};
    }
    const std::pair<std::string_view, const std::optional<TokenBucket>*> all[] = {
        {"requests", &requests},
        {"tokens", &tokens},
        {"input tokens", &input_tokens},
        {"output tokens", &output_tokens}};
    std::optional<RateRefusal> longest;
    const Clock::Steady now = clock.steady();
    for (const auto& [what, bucket] : all) {
      if (!*bucket || (*bucket)->level(now) >= 1) continue;
      const auto wait =
          std::chrono::ceil<std::chrono::seconds>((*bucket)->time_until(1, now)).count();
      const auto seconds = static_cast<std::uint32_t>(std::max<std::int64_t>(1, wait));
      if (longest && longest->retry_after_s >= seconds) continue;
      longest = RateRefusal{
          .message = fmt::format("This request would exceed the key's rate limit of {} {} per "
                                 "minute",
                                 (*bucket)->per_minute(), what),
          .retry_after_s = seconds,
          .headers = headers()};
    }
    return longest;
  }

  std::mutex mutex;
  const Clock clock;
  const KeyLimits limits;
  std::optional<TokenBucket> requests;
  std::optional<TokenBucket> tokens;
  std::optional<TokenBucket> input_tokens;
  std::optional<TokenBucket> output_tokens;
  std::uint32_t running = 0;
};

Admission::~Admission() {
  const std::scoped_lock lock(usage_->mutex);
  --usage_->running;
}

Admission::Charge Admission::charge() const {
  return [usage = usage_](std::uint32_t input_tokens, std::uint32_t output_tokens) {
    const std::scoped_lock lock(usage->mutex);
    const Clock::Steady now = usage->clock.steady();
    if (usage->tokens) usage->tokens->take(double{1} * input_tokens + output_tokens, now);
    if (usage->input_tokens) usage->input_tokens->take(input_tokens, now);
    if (usage->output_tokens) usage->output_tokens->take(output_tokens, now);
  };
}

std::vector<HttpHeader> Admission::headers() const {
  const std::scoped_lock lock(usage_->mutex);
  return usage_->headers();
}

std::expected<std::shared_ptr<Admission>, RateRefusal> RateLimiter::admit(const std::string& digest,
                                                                          const KeyLimits& limits) {
  std::shared_ptr<KeyUsage> usage;
  {
    const std::scoped_lock lock(mutex_);
    auto& known = keys_[digest];
    // Other limits than before: the key file was read again.
    if (!known || known->limits != limits) known = std::make_shared<KeyUsage>(limits, clock_);
    usage = known;
  }
  const std::scoped_lock lock(usage->mutex);
  if (auto refused = usage->refusal()) return std::unexpected(*std::move(refused));
  if (usage->requests) usage->requests->take(1, clock_.steady());
  ++usage->running;
  return std::make_shared<Admission>(usage);
}

}  // namespace onnxlocal
