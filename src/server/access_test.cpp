// Who may come in, how often, and what pages may read: over a real socket.
#include <gmock/gmock.h>

#include <atomic>
#include <csignal>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

std::vector<ApiKey> keys_of(std::string_view file) {
  auto keys = parse_key_file(file);
  EXPECT_TRUE(keys.has_value()) << keys.error().message;
  return keys ? *std::move(keys) : std::vector<ApiKey>();
}

class Keys : public ServerTest {
 protected:
  Keys() { options.keys = keys_of("one-key\nother-key name=other requests-per-minute=2\n"); }

  RawResponse message(const std::vector<std::string>& headers) {
    return ask("POST", "/v1/messages", message_body(false), headers);
  }
};

TEST_F(Keys, OpenTheServerInEitherHeader) {
  EXPECT_EQ(message({"x-api-key: one-key"}).status, 200U);
  EXPECT_EQ(message({"Authorization: Bearer other-key"}).status, 200U);
}

TEST_F(Keys, AreNeededForEverythingThatAnswersOrTells) {
  for (const std::vector<std::string>& headers :
       {std::vector<std::string>{}, {"x-api-key: wrong"}, {"Authorization: Bearer wrong"}}) {
    const RawResponse response = message(headers);
    expect_error(response, 401, "authentication_error");
    EXPECT_EQ(parse(response.body).at("error").at("message"), "invalid x-api-key");
  }
  for (const char* path : {"/v1/models", "/v1/models/scripted", "/metrics", "/v1/nothing"}) {
    EXPECT_EQ(ask("GET", path).status, 401U) << path;
  }
}

TEST_F(Keys, AreNotNeededToSeeThatTheServerIsThere) {
  for (const char* path : {"/", "/health", "/ready", "/api/hello"}) {
    EXPECT_EQ(ask("GET", path).status, 200U) << path;
    EXPECT_EQ(ask("HEAD", path).status, 200U) << path;
  }
}

TEST_F(Keys, AreAskedForBeforeABodyIsRead) {
  start();
  RawHttpClient client(server->port());
  client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{");
  expect_error(client.read_response(), 401, "authentication_error");
}

TEST_F(Keys, AreSpokenOfInTheWordsOfThePath) {
  const RawResponse response = ask("POST", "/v1/chat/completions", "{}");
  EXPECT_EQ(response.status, 401U);
  EXPECT_FALSE(parse(response.body).as_object().contains("request_id"));
}

TEST_F(Keys, HaveTheirOwnLimitsAndTellWhatIsLeft) {
  EXPECT_EQ(message({"x-api-key: one-key"}).header("anthropic-ratelimit-requests-limit"), "");
  const RawResponse first = message({"x-api-key: other-key"});
  EXPECT_EQ(first.header("anthropic-ratelimit-requests-limit"), "2");
  EXPECT_EQ(first.header("anthropic-ratelimit-requests-remaining"), "1");
  EXPECT_THAT(first.header("anthropic-ratelimit-requests-reset"), HasSubstr("T"));
  message({"x-api-key: other-key"});
  const RawResponse refused = message({"x-api-key: other-key"});
  expect_error(refused, 429, "rate_limit_error");
  EXPECT_EQ(refused.header("x-should-retry"), "true");
  EXPECT_NE(refused.header("retry-after"), "");
  EXPECT_EQ(refused.header("anthropic-ratelimit-requests-remaining"), "0");
  EXPECT_EQ(message({"x-api-key: one-key"}).status, 200U);
  EXPECT_EQ(ask("GET", "/v1/models", {}, {"x-api-key: other-key"}).status, 200U);
}

TEST_F(Keys, AreReadAgainAtSighup) {
  std::atomic<int> reads = 0;
  options.reload_keys = [&reads]() -> Result<std::vector<ApiKey>> {
    if (++reads == 1) return std::unexpected(invalid_request("line 1 is wrong"));
    return keys_of("new-key\n");
  };
  start();
  server->catch_signals();
  // A file that cannot be read leaves the keys as they were.
  std::raise(SIGHUP);
  const Deadline deadline = soon();
  while (reads < 1 && !deadline.has_passed()) message({"x-api-key: one-key"});
  EXPECT_EQ(message({"x-api-key: one-key"}).status, 200U);
  std::raise(SIGHUP);
  while (reads < 2 && !deadline.has_passed()) message({"x-api-key: one-key"});
  EXPECT_EQ(message({"x-api-key: new-key"}).status, 200U);
  EXPECT_EQ(message({"x-api-key: one-key"}).status, 401U);
}

class Limits : public ServerTest {};

TEST_F(Limits, OfTokensCountWhatAnAnswerUsed) {
  options.default_limits.output_tokens_per_minute = 2;
  const RawResponse first = ask("POST", "/v1/messages", message_body(false));
  EXPECT_EQ(first.status, 200U);
  EXPECT_EQ(first.header("anthropic-ratelimit-output-tokens-remaining"), "2");
  const RawResponse second = ask("POST", "/v1/messages", message_body(true));
  expect_error(second, 429, "rate_limit_error");
  EXPECT_THAT(second.body, HasSubstr("2 output tokens per minute"));
}

TEST_F(Limits, OfRequestsAtATimeEndWithTheAnswer) {
  options.default_limits.concurrent_requests = 1;
  const auto [client, running] = ask_and_hold(true);
  ASSERT_NE(running, nullptr);
  expect_error(ask("POST", "/v1/messages", message_body(false)), 429, "rate_limit_error");
  for (GenerationEvent& event : scripted_answer({"x"})) running->emit(std::move(event));
  EXPECT_EQ(client->read_response().status, 200U);
  provider->set_script(scripted_answer({"x"}));
  EXPECT_EQ(ask("POST", "/v1/messages", message_body(false)).status, 200U);
}

TEST_F(Limits, OfTimeEndAnAnswerThatHasNotBegun) {
  limits.total = 50ms;
  provider->set_script({});
  for (const bool stream : {false, true}) {
    expect_error(ask("POST", "/v1/messages", message_body(stream)), 504, "timeout_error");
  }
  EXPECT_TRUE(provider->wait_for(0, soon())->wait_until_cancelled(soon()));
}

TEST_F(Limits, OfTimeEndAStreamWithAnErrorEvent) {
  limits.total = 200ms;
  provider->set_script({GenerationStarted{}, GenerationDelta{.text = "x", .tokens = {}}});
  const RawResponse response = ask("POST", "/v1/messages", message_body(true));
  EXPECT_EQ(response.status, 200U);
  EXPECT_THAT(response.body, HasSubstr("event: error"));
  EXPECT_THAT(response.body, HasSubstr("timeout_error"));
}

class Pages : public ServerTest {
 protected:
  Pages() { options.cors_origins = {"https://chat.example"}; }
};

TEST_F(Pages, OnTheListMayReadAnswers) {
  const RawResponse response =
      ask("POST", "/v1/messages", message_body(false),
          {"Origin: https://chat.example", "anthropic-dangerous-direct-browser-access: true"});
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.header("access-control-allow-origin"), "https://chat.example");
  EXPECT_THAT(response.header("access-control-expose-headers"), HasSubstr("request-id"));
  EXPECT_EQ(response.header("vary"), "Origin");
  const RawResponse stream =
      ask("POST", "/v1/messages", message_body(true), {"Origin: https://chat.example"});
  EXPECT_EQ(stream.header("access-control-allow-origin"), "https://chat.example");
}

TEST_F(Pages, OnTheListAreAnsweredBeforeTheyAskForMore) {
  options.keys = keys_of("secret\n");
  start();
  RawHttpClient client(server->port());
  client.send(raw_request("OPTIONS", "/v1/messages", {},
                          {"Origin: https://chat.example", "Access-Control-Request-Method: POST",
                           "Access-Control-Request-Headers: x-api-key, content-type"}));
  const RawResponse response = client.read_response(/*has_body=*/false);
  EXPECT_EQ(response.status, 204U);
  EXPECT_EQ(response.header("access-control-allow-origin"), "https://chat.example");
  EXPECT_EQ(response.header("access-control-allow-headers"), "x-api-key, content-type");
  EXPECT_THAT(response.header("access-control-allow-methods"), HasSubstr("POST"));
  EXPECT_EQ(response.header("content-length"), "");
}

TEST_F(Pages, NotOnTheListAreRefusedAndAlsoTheirQuestions) {
  for (const char* method : {"GET", "OPTIONS"}) {
    const RawResponse response =
        ask(method, "/v1/models", {},
            {"Origin: https://evil.example", "Access-Control-Request-Method: GET"});
    expect_error(response, 403, "permission_error");
    EXPECT_EQ(response.header("access-control-allow-origin"), "");
  }
}

TEST_F(Pages, OfThisMachineMayAskButNotRead) {
  const RawResponse response = ask("GET", "/v1/models", {}, {"Origin: http://localhost:5173"});
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.header("access-control-allow-origin"), "");
}

TEST_F(ServerTest, IsNotOpenToOthersWithoutAKey) {
  options.host = "0.0.0.0";
  options.port = 0;
  const auto refused = Server::start(options, provider);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("no API key"));
  EXPECT_THAT(refused.error().hint, HasSubstr("--allow-unauthenticated"));
  options.allow_unauthenticated = true;
  EXPECT_TRUE(Server::start(options, provider).has_value());
  options.allow_unauthenticated = false;
  options.keys = keys_of("secret\n");
  EXPECT_TRUE(Server::start(options, provider).has_value());
}

}  // namespace
}  // namespace onnxlocal
