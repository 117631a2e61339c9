#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/clock.h"
#include "server/http_message.h"
#include "server/middleware/api_keys.h"

namespace onnxlocal {

/// An allowance that refills evenly and holds at most one minute's worth. It may go below nothing
/// by what was taken before it was counted; it then has to recover. One thread at a time.
class TokenBucket {
 public:
  /// Full. REQUIRES: per_minute > 0.
  TokenBucket(std::uint32_t per_minute, Clock::Steady now);

  std::uint32_t per_minute() const { return per_minute_; }
  double level(Clock::Steady now) const;
  void take(double amount, Clock::Steady now);
  /// Until it holds so much; zero where it does.
  std::chrono::duration<double> time_until(double amount, Clock::Steady now) const;

 private:
  std::uint32_t per_minute_;
  double level_;  ///< At `at_`.
  Clock::Steady at_;
};

/// Why a request may not run now.
struct RateRefusal {
  std::string message;
  std::uint32_t retry_after_s = 1;
  std::vector<HttpHeader> headers;
};

struct KeyUsage;

/// One request that runs within its key's limits; destroying it ends that. Any thread.
class Admission {
 public:
  explicit Admission(std::shared_ptr<KeyUsage> usage) : usage_(std::move(usage)) {}
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  /// Takes tokens that were used; may outlive the request.
  using Charge = std::function<void(std::uint32_t input_tokens, std::uint32_t output_tokens)>;
  Charge charge() const;
  /// `anthropic-ratelimit-...`, for those limits that there are.
  std::vector<HttpHeader> headers() const;

 private:
  std::shared_ptr<KeyUsage> usage_;
};

/// Holds each key to its limits: requests and tokens per minute, requests at a time. Tokens are
/// counted once they were used, so that a request may begin while anything is left. Any thread.
class RateLimiter {
 public:
  explicit RateLimiter(Clock clock) : clock_(std::move(clock)) {}

  /// A request of the key with this digest (empty: of anybody).
  std::expected<std::shared_ptr<Admission>, RateRefusal> admit(const std::string& digest,
                                                               const KeyLimits& limits);

 private:
  const Clock clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<KeyUsage>> keys_;  // Guarded by mutex_.
};

}  // namespace onnxlocal
