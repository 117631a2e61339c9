// When the bytes of a stream leave: early headers, heartbeats, tokens one by one.
#include <gmock/gmock.h>

#include <stop_token>
#include <thread>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class Streaming : public ServerTest {
 protected:
  /// Begins a stream whose events the test emits.
  void begin() {
    provider->set_script({});
    start();
    client = std::make_unique<RawHttpClient>(server->port());
    client->send(raw_request("POST", "/v1/messages", message_body(true)));
    running = provider->wait_for(0, soon());
    ASSERT_NE(running, nullptr);
  }

  std::unique_ptr<RawHttpClient> client;
  std::shared_ptr<ScriptedProvider::Running> running;
};

TEST_F(Streaming, SendsEachTokenAsItComes) {
  begin();
  running->emit(GenerationStarted{.usage = {.input_tokens = 3}});
  EXPECT_THAT(client->read_until("event: ping"), HasSubstr("message_start"));
  running->emit_text("one");
  EXPECT_THAT(client->read_until("\"one\""), Not(HasSubstr("two")));
  running->emit_text("two");
  EXPECT_THAT(client->read_until("\"two\""), Not(HasSubstr("message_stop")));
}

TEST_F(Streaming, StartsBeforeTheFirstTokenWhereThatTakesLong) {
  limits.early_headers = 20ms;
  begin();
  const std::string early = client->read_until("event: ping");
  EXPECT_THAT(early, HasSubstr("HTTP/1.1 200 OK"));
  // The scripted provider counts the bytes of "Hi there".
  EXPECT_THAT(early, HasSubstr(R"("usage":{"input_tokens":8)"));
  running->emit(GenerationStarted{.usage = {.input_tokens = 1, .cache_read_tokens = 7}});
  running->emit_text("x");
  running->emit(
      GenerationFinished{.reason = StopReason::kTokensMax,
                         .stop_string = {},
                         .usage = {.input_tokens = 1, .cache_read_tokens = 7, .output_tokens = 1}});
  const RawResponse response = client->read_response();
  EXPECT_THAT(response.body, HasSubstr(R"("output_tokens":1,"input_tokens":1)"));
  EXPECT_EQ(response.body.find("message_start", response.body.find("event: ping")),
            std::string::npos);
}

TEST_F(Streaming, StartsEarlyWithWhatTheCacheGave) {
  limits.early_headers = 20ms;
  provider->set_prompt_usage(
      Usage{.input_tokens = 2, .cache_read_tokens = 90, .cache_creation_tokens = 8});
  begin();
  const std::string early = client->read_until("event: ping");
  EXPECT_THAT(early, HasSubstr(R"("usage":{"input_tokens":2)"));
  EXPECT_THAT(early, HasSubstr(R"("cache_read_input_tokens":90)"));
  EXPECT_THAT(early, HasSubstr(R"("cache_creation_input_tokens":8)"));
  running->emit(GenerationFailed{cancelled()});
}

TEST_F(Streaming, PingsThroughSilence) {
  limits.early_headers = 20ms;
  limits.ping = 20ms;
  begin();
  const std::string ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n\r\n";
  EXPECT_THAT(client->read_until(ping), HasSubstr(ping));
  running->emit(GenerationStarted{});
  running->emit_text("x");
  const std::string first = client->read_until("text_delta");
  // Between tokens too: no event comes until the client has seen three more pings.
  std::size_t seen = first.find("text_delta");
  for (int i = 0; i < 3; ++i) {
    std::string all = client->read_until(ping);
    while (all.find(ping, seen) == std::string::npos) all = client->read_more_than(all.size());
    seen = all.find(ping, seen) + ping.size();
  }
  running->emit(GenerationFailed{cancelled()});
  EXPECT_THAT(client->read_response().body, HasSubstr("event: error"));
}

TEST_F(Streaming, PingsWhereTokensComeThatHaveNoText) {
  limits.early_headers = 20ms;
  limits.ping = 20ms;
  begin();
  static_cast<void>(client->read_until("event: ping"));
  running->emit(GenerationStarted{});
  const std::jthread tokens([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) running->emit_text("");
  });
  const std::size_t before = client->read_until("event: ping").size();
  EXPECT_GT(client->read_more_than(before).size(), before);
}

TEST_F(Streaming, TellsAnErrorInsideTheStreamOnceHeadersAreOut) {
  limits.early_headers = 20ms;
  begin();
  static_cast<void>(client->read_until("event: ping"));
  running->emit(GenerationFailed{internal_error("the decoder failed")});
  const RawResponse response = client->read_response();
  EXPECT_EQ(response.status, 200U);
  EXPECT_THAT(response.body, HasSubstr("event: error"));
}

}  // namespace
}  // namespace onnxlocal
