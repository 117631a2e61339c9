#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/environment.h"
#include "generation/stop_reason_name.h"

namespace onnxlocal {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::array kFirstTokenBounds = {0.01, 0.025, 0.05, 0.1,  0.25, 0.5,   1.0,
                                          2.5,  5.0,   10.0, 30.0, 60.0, 300.0, 600.0};
constexpr std::array kBetweenTokensBounds = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05,
                                             0.075, 0.1,    0.25,  0.5,  1.0,  5.0};
constexpr std::array kPrefillBounds = {10.0,   30.0,   100.0,  200.0,   500.0,
                                       1000.0, 2000.0, 5000.0, 10000.0, 50000.0};

/// What stands between the quotes of a label's value.
std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? ' ' : c;
  }
  return text;
}

void describe(std::string& text, std::string_view name, std::string_view type,
              std::string_view help) {
  fmt::format_to(std::back_inserter(text), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

void append_value(std::string& text, std::string_view name, std::string_view type,
                  std::string_view help, std::string_view labels, double value) {
  describe(text, name, type, help);
  if (labels.empty()) {
    fmt::format_to(std::back_inserter(text), "{} {}\n", name, value);
  } else {
    fmt::format_to(std::back_inserter(text), "{}{{{}}} {}\n", name, labels, value);
  }
}

void append_status(std::string& text, const ProviderStatus& status, std::string_view model) {
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    append_value(text, name, "gauge", help, model, value);
  };
  gauge("onnxlocal_ready", "1 where the model answers.",
        status.state == ProviderStatus::State::kReady ? 1 : 0);
  gauge("onnxlocal_queued_requests", "Generations that wait for a slot.", status.queued);
  gauge("onnxlocal_queued_batch_requests", "Of those, batches'.", status.queued_batch);
  gauge("onnxlocal_running_requests", "Generations that run.", status.running);
  gauge("onnxlocal_slots", "Generations that can run at a time.", status.slots);
  gauge("onnxlocal_kv_bytes", "Keys and values of what runs.",
        static_cast<double>(status.kv_bytes_in_use));
}

/// Only what the engine did, so that waiting is in none of it.
void append_engine(std::string& text, const ProviderStatus& status, std::string_view model) {
  const auto counter = [&](std::string_view name, std::string_view help, auto value) {
    append_value(text, name, "counter", help, model, static_cast<double>(value));
  };
  counter("onnxlocal_prefill_tokens_total", "Prompt tokens that were computed.",
          status.prefill_tokens);
  counter("onnxlocal_prefill_seconds_total", "Time that computing prompts took.",
          status.prefill_seconds);
  counter("onnxlocal_decode_tokens_total", "Tokens generated, but for each answer's first.",
          status.decode_tokens);
  counter("onnxlocal_decode_seconds_total", "Time that generating them took.",
          status.decode_seconds);
  counter("onnxlocal_draft_tokens_total", "Tokens that were guessed and verified.",
          status.draft_tokens);
  counter("onnxlocal_accepted_tokens_total", "Guessed tokens that were right.",
          status.accepted_tokens);
  counter("onnxlocal_masks_late_total", "Masks that came after the logits they were for.",
          status.masks_late);
  counter("onnxlocal_preemptions_total", "Batch generations that lost their slots to live ones.",
          status.preemptions);
}

struct CachePlaces {
  double memory = 0;
  double disk = 0;
};

void append_places(std::string& text, std::string_view name, std::string_view type,
                   std::string_view help, std::string_view model, CachePlaces values) {
  describe(text, name, type, help);
  fmt::format_to(std::back_inserter(text),
                 "{0}{{{1},place=\"memory\"}} {2}\n{0}{{{1},place=\"disk\"}} {3}\n", name, model,
                 values.memory, values.disk);
}

void append_prefix_cache(std::string& text, const ProviderStatus& status, std::string_view model) {
  append_places(text, "onnxlocal_prefix_cache_bytes", "gauge", "Size of the prefix cache.", model,
                {.memory = static_cast<double>(status.prefix_cache_bytes),
                 .disk = static_cast<double>(status.disk_cache_bytes)});
  append_places(text, "onnxlocal_prefix_cache_pinned_bytes", "gauge",
                "Of those, pinned; in memory an agent's last prefixes too.", model,
                {.memory = static_cast<double>(status.prefix_cache_pinned_bytes),
                 .disk = static_cast<double>(status.disk_cache_pinned_bytes)});
  append_places(text, "onnxlocal_prefix_cache_evictions_total", "counter",
                "Blocks that gave way to others.", model,
                {.memory = static_cast<double>(status.prefix_cache_evictions),
                 .disk = static_cast<double>(status.disk_cache_evictions)});
  append_value(text, "onnxlocal_disk_cached_tokens_total", "counter",
               "Tokens that the prefix cache brought back from the disk.", model,
               static_cast<double>(status.disk_cached_tokens));
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds), counts_(bounds.size() + 1, 0) {}

void Histogram::observe(double value, std::uint64_t times) {
  const auto bound = std::ranges::lower_bound(bounds_, value);
  counts_[static_cast<std::size_t>(bound - bounds_.begin())] += times;
  sum_ += value * static_cast<double>(times);
}

void Histogram::append_to(std::string& text, std::string_view name, std::string_view labels) const {
  const auto out = std::back_inserter(text);
  const std::string_view comma = labels.empty() ? "" : ",";
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i];
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    fmt::format_to(out, "{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma, bound, total);
  }
  fmt::format_to(out, "{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, labels, sum_, total);
}

Metrics::Metrics(Clock clock)
    : clock_(std::move(clock)),
      started_(clock_.wall()),
      first_token_seconds_(kFirstTokenBounds),
      between_tokens_seconds_(kBetweenTokensBounds),
      prefill_tokens_per_second_(kPrefillBounds) {}

void Metrics::count_request(std::string_view method, std::string_view route, unsigned status) {
  // A client may write any method; what no route takes is one label.
  const bool is_known = method == "GET" || method == "POST" || method == "HEAD" ||
                        method == "DELETE" || method == "OPTIONS";
  const std::scoped_lock lock(mutex_);
  ++requests_[{std::string(is_known ? method : "other"), std::string(route), status}];
}

void Metrics::set_pending_batch_requests(std::uint64_t count) {
  const std::scoped_lock lock(mutex_);
  pending_batch_requests_ = count;
}

void Metrics::count_end(std::string_view result) { ++generations_.by_result[std::string(result)]; }

Metrics::Generation::Generation(std::shared_ptr<Metrics> metrics)
    : metrics_(std::move(metrics)), begun_(metrics_->clock_.steady()), last_token_(begun_) {}

void Metrics::Generation::see_tokens(std::size_t count) {
  const Clock::Steady now = metrics_->clock_.steady();
  if (!has_token_) {
    metrics_->first_token_seconds_.observe(Seconds(now - begun_).count());
  } else {
    const double each = Seconds(now - last_token_).count() / static_cast<double>(count);
    metrics_->between_tokens_seconds_.observe(each, count);
  }
  has_token_ = true;
  last_token_ = now;
}

void Metrics::Generation::see(const GenerationEvent& event) {
  const std::scoped_lock lock(metrics_->mutex_);
  GenerationCounts& counts = metrics_->generations_;
  if (const auto* started = std::get_if<GenerationStarted>(&event)) {
    const Usage& usage = started->usage;
    counts.prompt_tokens += usage.prompt_tokens();
    counts.cached_tokens += usage.cache_read_tokens;
    counts.cache_creation_tokens += usage.cache_creation_tokens;
    const double seconds = Seconds(metrics_->clock_.steady() - begun_).count();
    const std::uint32_t computed = usage.input_tokens + usage.cache_creation_tokens;
    if (seconds > 0 && computed > 0) {
      metrics_->prefill_tokens_per_second_.observe(computed / seconds);
    }
  } else if (const auto* delta = std::get_if<GenerationDelta>(&event)) {
    see_tokens(std::max<std::size_t>(1, delta->tokens.size()));
  } else if (std::holds_alternative<ThinkingDelta>(event) ||
             std::holds_alternative<ToolInputDelta>(event)) {
    see_tokens(1);
  } else if (const auto* finished = std::get_if<GenerationFinished>(&event)) {
    counts.output_tokens += finished->usage.output_tokens;
    metrics_->count_end(to_string(finished->reason));
  } else if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
    metrics_->count_end(failed->error.code == ErrorCode::kCancelled ? "cancelled" : "failed");
  }
}

void Metrics::append_generations(std::string& text, std::string_view model) const {
  const auto counter = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    append_value(text, name, "counter", help, model, static_cast<double>(value));
  };
  describe(text, "onnxlocal_generations_total", "counter", "Generations, by how they ended.");
  for (const auto& [result, count] : generations_.by_result) {
    fmt::format_to(std::back_inserter(text), "onnxlocal_generations_total{{{},result=\"{}\"}} {}\n",
                   model, result, count);
  }
  counter("onnxlocal_prompt_tokens_total", "Tokens of prompts, cached ones too.",
          generations_.prompt_tokens);
  counter("onnxlocal_cached_tokens_total", "Tokens of prompts that the prefix cache had.",
          generations_.cached_tokens);
  counter("onnxlocal_cache_creation_tokens_total",
          "Tokens of prompts that were computed and kept in the prefix cache.",
          generations_.cache_creation_tokens);
  counter("onnxlocal_output_tokens_total", "Tokens of finished answers.",
          generations_.output_tokens);
  const double prompts = static_cast<double>(generations_.prompt_tokens);
  append_value(text, "onnxlocal_prefix_cache_hit_ratio", "gauge",
               "Share of all prompt tokens that the prefix cache had.", model,
               prompts > 0 ? static_cast<double>(generations_.cached_tokens) / prompts : 0);
  const auto histogram = [&](std::string_view name, std::string_view help,
                             const Histogram& values) {
    describe(text, name, "histogram", help);
    values.append_to(text, name, model);
  };
  histogram("onnxlocal_time_to_first_token_seconds", "From the request to its first token.",
            first_token_seconds_);
  histogram("onnxlocal_time_between_tokens_seconds", "From one token to the next.",
            between_tokens_seconds_);
  histogram("onnxlocal_prefill_tokens_per_second",
            "Prompt tokens computed, by the time until they were, waiting included.",
            prefill_tokens_per_second_);
}

std::string Metrics::to_text(const ProviderStatus& status) const {
  std::string text;
  const std::string model = fmt::format("model=\"{}\"", escaped(status.model));
  append_value(text, "onnxlocal_build_info", "gauge", "Which program this is.",
               "version=\"" ONNXLOCAL_VERSION "\"", 1);
  append_value(text, "process_resident_memory_bytes", "gauge", "Resident memory.", {},
               static_cast<double>(resident_memory_bytes()));
  append_value(text, "process_start_time_seconds", "gauge", "When the server started (Unix time).",
               {}, std::chrono::floor<std::chrono::seconds>(started_.time_since_epoch()).count());
  append_status(text, status, model);
  append_engine(text, status, model);
  append_prefix_cache(text, status, model);
  const std::scoped_lock lock(mutex_);
  append_value(text, "onnxlocal_pending_batch_requests", "gauge",
               "Requests of batches that have no result yet.", model,
               static_cast<double>(pending_batch_requests_));
  describe(text, "onnxlocal_http_requests_total", "counter", "Requests, by route and status.");
  for (const auto& [labels, count] : requests_) {
    const auto& [method, route, code] = labels;
    fmt::format_to(std::back_inserter(text),
                   "onnxlocal_http_requests_total{{method=\"{}\",route=\"{}\",status=\"{}\"}} {}\n",
                   method, escaped(route), code, count);
  }
  append_generations(text, model);
  return text;
}

}  // namespace onnxlocal
