#include "server/metrics.h"

#include <gmock/gmock.h>

#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "server/generation_headers.h"
#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class MetricsText : public testing::Test {
 protected:
  MetricsText()
      : metrics(std::make_shared<Metrics>(Clock{.steady = [this] { return Clock::Steady(now); },
                                                .wall = [] { return Clock::Wall(1'000'000s); }})) {
    status.model = "onnx-local/tiny";
  }

  std::string text() const { return metrics->to_text(status); }

  /// A line of ours, with `M` for the model's label.
  static std::string of_model(std::string_view line) {
    std::string whole(line);
    whole.replace(whole.find("{M") + 1, 1, "model=\"onnx-local/tiny\"");
    return "\nonnxlocal_" + whole + "\n";
  }

  std::chrono::nanoseconds now = 1000s;
  std::shared_ptr<Metrics> metrics;
  ProviderStatus status;
};

TEST_F(MetricsText, SaysWhatTheModelIsDoing) {
  status.state = ProviderStatus::State::kReady;
  status.queued = 3;
  status.running = 2;
  status.prefix_cache_bytes = 4096;
  EXPECT_THAT(text(), HasSubstr("\nonnxlocal_ready{model=\"onnx-local/tiny\"} 1\n"));
  EXPECT_THAT(text(), HasSubstr("\nonnxlocal_queued_requests{model=\"onnx-local/tiny\"} 3\n"));
  EXPECT_THAT(text(), HasSubstr("\nonnxlocal_running_requests{model=\"onnx-local/tiny\"} 2\n"));
  EXPECT_THAT(text(), HasSubstr("_bytes{model=\"onnx-local/tiny\",place=\"memory\"} 4096\n"));
  EXPECT_THAT(text(), HasSubstr("\nprocess_start_time_seconds 1000000\n"));
  EXPECT_THAT(text(), HasSubstr("# TYPE onnxlocal_build_info gauge\n"));
}

TEST_F(MetricsText, SaysWhatTheEngineDid) {
  status.queued_batch = 2;
  status.prefill_tokens = 5000;
  status.prefill_seconds = 2.5;
  status.decode_tokens = 300;
  status.decode_seconds = 1.5;
  status.draft_tokens = 40;
  status.accepted_tokens = 30;
  status.masks_late = 7;
  status.preemptions = 4;
  const std::string all = text();
  for (const std::string_view line :
       {"queued_batch_requests{M} 2", "prefill_tokens_total{M} 5000",
        "prefill_seconds_total{M} 2.5", "decode_tokens_total{M} 300", "decode_seconds_total{M} 1.5",
        "draft_tokens_total{M} 40", "accepted_tokens_total{M} 30", "masks_late_total{M} 7",
        "preemptions_total{M} 4"}) {
    EXPECT_THAT(all, HasSubstr(of_model(line)));
  }
  EXPECT_THAT(all, HasSubstr("# TYPE onnxlocal_prefill_seconds_total counter\n"));
}

TEST_F(MetricsText, TellsTheCacheInMemoryFromThatOnDisk) {
  status.prefix_cache_evictions = 3;
  status.prefix_cache_pinned_bytes = 1024;
  status.disk_cache_bytes = 8192;
  status.disk_cache_pinned_bytes = 2048;
  status.disk_cache_evictions = 5;
  status.disk_cached_tokens = 640;
  const std::string all = text();
  for (const std::string_view line :
       {"prefix_cache_bytes{M,place=\"disk\"} 8192",
        "prefix_cache_evictions_total{M,place=\"memory\"} 3",
        "prefix_cache_evictions_total{M,place=\"disk\"} 5",
        "prefix_cache_pinned_bytes{M,place=\"memory\"} 1024",
        "prefix_cache_pinned_bytes{M,place=\"disk\"} 2048", "disk_cached_tokens_total{M} 640"}) {
    EXPECT_THAT(all, HasSubstr(of_model(line)));
  }
}

TEST_F(MetricsText, DescribesEachMetricOnce) {
  metrics->count_request("POST", "/v1/messages", 200);
  std::istringstream lines(text());
  std::set<std::string> described;
  std::set<std::string> used;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      const std::string name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(described.insert(name).second) << name;
    } else if (!line.starts_with('#')) {
      used.insert(line.substr(0, line.find_first_of("{ ")));
    }
  }
  for (const std::string& name : used) {
    const bool is_part =
        name.ends_with("_bucket") || name.ends_with("_sum") || name.ends_with("_count");
    const std::string whole = is_part ? name.substr(0, name.rfind('_')) : name;
    EXPECT_TRUE(described.contains(whole)) << name;
  }
}

TEST_F(MetricsText, CountsRequestsByRouteAndStatus) {
  metrics->count_request("POST", "/v1/messages", 200);
  metrics->count_request("POST", "/v1/messages", 200);
  metrics->count_request("BREW", "other", 404);
  EXPECT_THAT(text(),
              HasSubstr("onnxlocal_http_requests_total{method=\"POST\",route=\"/v1/messages\","
                        "status=\"200\"} 2\n"));
  EXPECT_THAT(text(), HasSubstr("{method=\"other\",route=\"other\",status=\"404\"} 1\n"));
}

TEST_F(MetricsText, FollowsAGenerationThroughItsTokens) {
  Metrics::Generation generation(metrics);
  now += 2s;
  generation.see(GenerationStarted{
      .usage = {.input_tokens = 60, .cache_read_tokens = 100, .cache_creation_tokens = 40}});
  generation.see(GenerationDelta{.text = "a", .tokens = {}});
  now += 40ms;
  generation.see(GenerationDelta{.text = "bc", .tokens = std::vector<TokenReport>(2)});
  generation.see(GenerationFinished{
      .reason = StopReason::kTokensMax, .stop_string = {}, .usage = {.output_tokens = 3}});
  const std::string all = text();
  EXPECT_THAT(all, HasSubstr("onnxlocal_prompt_tokens_total{model=\"onnx-local/tiny\"} 200\n"));
  EXPECT_THAT(all, HasSubstr("onnxlocal_cached_tokens_total{model=\"onnx-local/tiny\"} 100\n"));
  EXPECT_THAT(all, HasSubstr("onnxlocal_output_tokens_total{model=\"onnx-local/tiny\"} 3\n"));
  EXPECT_THAT(all, HasSubstr("onnxlocal_prefix_cache_hit_ratio{model=\"onnx-local/tiny\"} 0.5\n"));
  EXPECT_THAT(all, HasSubstr("result=\"max_tokens\"} 1\n"));
  EXPECT_THAT(all, HasSubstr("onnxlocal_time_to_first_token_seconds_bucket{"
                             "model=\"onnx-local/tiny\",le=\"2.5\"} 1\n"));
  EXPECT_THAT(all, HasSubstr("onnxlocal_time_to_first_token_seconds_bucket{"
                             "model=\"onnx-local/tiny\",le=\"1\"} 0\n"));
  // Two tokens that came together after 40 ms: 20 ms each.
  EXPECT_THAT(all, HasSubstr("onnxlocal_time_between_tokens_seconds_bucket{"
                             "model=\"onnx-local/tiny\",le=\"0.02\"} 2\n"));
  EXPECT_THAT(all, HasSubstr("onnxlocal_prefill_tokens_per_second_sum{"
                             "model=\"onnx-local/tiny\"} 50\n"));
}

TEST_F(MetricsText, TellsFailuresFromCancels) {
  for (Error error : {cancelled(), internal_error("broken"), internal_error("again")}) {
    Metrics::Generation(metrics).see(GenerationFailed{std::move(error)});
  }
  EXPECT_THAT(text(), HasSubstr("result=\"cancelled\"} 1\n"));
  EXPECT_THAT(text(), HasSubstr("result=\"failed\"} 2\n"));
}

TEST_F(MetricsText, KeepsQuotesInsideALabel) {
  status.model = "a\"b\\c\nd";
  EXPECT_THAT(text(), HasSubstr("model=\"a\\\"b\\\\c d\""));
}

using MetricsRoute = ServerTest;

TEST_F(MetricsRoute, CountsWhatTheServerAnswered) {
  ask("POST", "/v1/messages", message_body(false));
  ask("GET", "/nowhere");
  RawResponse response = ask("GET", "/metrics");
  // A request is counted once its answer is out.
  const Deadline deadline = soon();
  while (response.body.find("route=\"other\"") == std::string::npos && !deadline.has_passed()) {
    response = ask("GET", "/metrics");
  }
  EXPECT_EQ(response.status, 200U);
  EXPECT_THAT(response.header("content-type"), HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(response.body, HasSubstr("route=\"/v1/messages\",status=\"200\"} 1\n"));
  EXPECT_THAT(response.body, HasSubstr("route=\"other\",status=\"404\"} 1\n"));
  EXPECT_THAT(response.body, Not(HasSubstr("nowhere")));
  EXPECT_THAT(response.body,
              HasSubstr("onnxlocal_output_tokens_total{model=\"onnx-local/scripted\"} 2\n"));
}

TEST(GenerationHeaders, TellWhatTheCacheDidAndWhatWasNotAsAsked) {
  std::vector<HttpHeader> headers;
  GenerationStarted started{.usage = {.input_tokens = 2, .cache_read_tokens = 8}};
  started.cache.reason = "token 8 differs: \"a\"\n";
  add_headers_of(started, headers);
  add_headers_of(GenerationDelta{.text = "x", .tokens = {}}, headers);
  GenerationFinished finished;
  finished.warnings = {"first", "second"};
  add_headers_of(finished, headers);
  ASSERT_EQ(headers.size(), 3U);
  EXPECT_EQ(headers[0].name, "x-onnx-local-cache");
  EXPECT_EQ(headers[0].value, "read=8 prompt=10; reason=\"token 8 differs: 'a'?\"");
  EXPECT_EQ(headers[1].name, "x-onnx-local-warning");
  EXPECT_EQ(headers[2].value, "second");
}

TEST_F(MetricsRoute, HeadersComeWithBothKindsOfAnswer) {
  for (const bool stream : {false, true}) {
    EXPECT_EQ(ask("POST", "/v1/messages", message_body(stream)).header("x-onnx-local-cache"),
              "read=0 prompt=10");
  }
}

}  // namespace
}  // namespace onnxlocal
