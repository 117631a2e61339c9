#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "generation/event.h"
#include "provider/provider.h"
#include "server/clock.h"

namespace onnxlocal {

/// Counts observations below each of some bounds, as Prometheus' histograms do. One thread at a
/// time.
class Histogram {
 public:
  /// `bounds` ascend, and outlive it.
  explicit Histogram(std::span<const double> bounds);

  void observe(double value, std::uint64_t times = 1);
  /// Lines of the text format, without HELP and TYPE. `labels` is "" or `name="value"`.
  void append_to(std::string& text, std::string_view name, std::string_view labels) const;

 private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> counts_;  ///< [bounds + 1], not yet cumulative.
  double sum_ = 0;
};

/// What the server counts, for /metrics (docs/api.md). Labels come from our own routes, statuses
/// and models, never from a client. Any thread.
class Metrics {
 public:
  explicit Metrics(Clock clock);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// A request was answered. `route` is a pattern of the table, or "other".
  void count_request(std::string_view method, std::string_view route, unsigned status);

  /// Requests of batches that have no result yet.
  void set_pending_batch_requests(std::uint64_t count);

  /// Follows one generation through its events; the time begins now.
  class Generation {
   public:
    explicit Generation(std::shared_ptr<Metrics> metrics);
    void see(const GenerationEvent& event);

   private:
    void see_tokens(std::size_t count);

    std::shared_ptr<Metrics> metrics_;
    Clock::Steady begun_;
    Clock::Steady last_token_;
    bool has_token_ = false;
  };

  /// The Prometheus text format, version 0.0.4. What the counters cannot know comes with `status`.
  std::string to_text(const ProviderStatus& status) const;

 private:
  struct GenerationCounts {
    std::map<std::string, std::uint64_t, std::less<>> by_result;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t cached_tokens = 0;
    std::uint64_t cache_creation_tokens = 0;
    std::uint64_t output_tokens = 0;
  };

  void count_end(std::string_view result);
  void append_generations(std::string& text, std::string_view model) const;

  const Clock clock_;
  const Clock::Wall started_;
  mutable std::mutex mutex_;
  // Guarded by mutex_: method, route, status.
  std::map<std::tuple<std::string, std::string, unsigned>, std::uint64_t> requests_;
  GenerationCounts generations_;
  std::uint64_t pending_batch_requests_ = 0;
  Histogram first_token_seconds_;
  Histogram between_tokens_seconds_;
  Histogram prefill_tokens_per_second_;
};

}  // namespace onnxlocal
