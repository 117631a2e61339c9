// What clients do to connections: reuse, pipeline, dawdle, send too much, read too little, leave.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Connections : public ServerTest {};

TEST_F(Connections, AreKeptForTheNextRequest) {
  start();
  RawHttpClient client(server->port());
  for (int i = 0; i < 20; ++i) {
    client.send(raw_request("POST", "/v1/messages", message_body(i % 2 == 0)));
    const RawResponse response = client.read_response();
    ASSERT_EQ(response.status, 200U);
    EXPECT_EQ(response.header("connection"), "keep-alive");
  }
}

TEST_F(Connections, AnswerPipelinedRequestsInOrder) {
  start();
  RawHttpClient client(server->port());
  client.send(raw_request("POST", "/v1/messages", message_body(true)) +
              raw_request("GET", "/health") + raw_request("GET", "/nowhere") +
              raw_request("POST", "/v1/messages", message_body(false)));
  EXPECT_THAT(client.read_response().body, HasSubstr("message_stop"));
  EXPECT_THAT(client.read_response().body, HasSubstr("uptime_s"));
  EXPECT_EQ(client.read_response().status, 404U);
  EXPECT_THAT(client.read_response().body, HasSubstr("Hello world"));
}

TEST_F(Connections, KeepWhatIsPipelinedWhileAnAnswerStreams) {
  const auto [client, running] = ask_and_hold(true);
  ASSERT_NE(running, nullptr);
  client->send(raw_request("GET", "/health"));
  for (GenerationEvent& event : scripted_answer({"late"})) running->emit(std::move(event));
  EXPECT_THAT(client->read_response().body, HasSubstr("late"));
  EXPECT_EQ(client->read_response().status, 200U);
}

TEST_F(Connections, TakeARequestByteByByte) {
  start();
  RawHttpClient client(server->port());
  for (const char byte : raw_request("POST", "/v1/messages", message_body(false))) {
    client.send(std::string_view(&byte, 1));
  }
  EXPECT_EQ(client.read_response().status, 200U);
}

TEST_F(Connections, TakeChunkedBodies) {
  start();
  RawHttpClient client(server->port());
  const std::string body = message_body(false);
  client.send(
      "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.send("5\r\n" + body.substr(0, 5) + "\r\n");
  client.send(fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", body.size() - 5, body.substr(5)));
  EXPECT_EQ(client.read_response().status, 200U);
}

TEST_F(Connections, InviteABodyThatWaits) {
  start();
  RawHttpClient client(server->port());
  const std::string body = message_body(false);
  client.send(
      fmt::format("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n"
                  "Expect: 100-continue\r\n\r\n",
                  body.size()));
  EXPECT_EQ(client.read_response(false).status, 100U);
  client.send(body);
  EXPECT_EQ(client.read_response().status, 200U);
}

TEST_F(Connections, CloseWhenTheClientAsksForIt) {
  start();
  RawHttpClient client(server->port());
  client.send(raw_request("GET", "/health", {}, {"Connection: close"}));
  EXPECT_EQ(client.read_response().header("connection"), "close");
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(Connections, StreamToOldClientsUntilTheClose) {
  start();
  RawHttpClient client(server->port());
  const std::string body = message_body(true);
  client.send(
      fmt::format("POST /v1/messages HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.header("transfer-encoding"), "");
  EXPECT_THAT(response.body, testing::EndsWith("\"message_stop\"}\n\n"));
}

TEST_F(Connections, RefuseABodyThatIsTooLargeAndTheClientCanReadIt) {
  limits.body_bytes_max = 1000;
  start();
  RawHttpClient client(server->port());
  client.send(raw_request("POST", "/v1/messages", std::string(3'000'000, 'x')));
  const RawResponse response = client.read_response();
  expect_error(response, 413, "request_too_large");
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_EQ(ask("GET", "/health").status, 200U);
}

TEST_F(Connections, RefuseAChunkedBodyThatGrowsTooLarge) {
  limits.body_bytes_max = 1000;
  start();
  RawHttpClient client(server->port());
  client.send(
      "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.send("800\r\n" + std::string(0x800, 'x') + "\r\n");
  EXPECT_EQ(client.read_response().status, 413U);
}

TEST_F(Connections, RefuseAHeaderThatIsTooLarge) {
  start();
  RawHttpClient client(server->port());
  client.send("GET /health HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 431U);
}

TEST_F(Connections, RefuseWhatIsNoHttp) {
  start();
  for (const char* text : {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\r\n\r\n",
                           "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                           "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}) {
    RawHttpClient client(server->port());
    client.send(text);
    EXPECT_EQ(client.read_response().status, 400U) << text;
  }
}

TEST_F(Connections, TellASlowSenderThatTimeIsUp) {
  limits.header = 50ms;
  start();
  RawHttpClient client(server->port());
  client.send("GET /health HT");
  expect_error(client.read_response(), 408, "timeout_error");
}

TEST_F(Connections, TellASenderOfASlowBodyThatTimeIsUp) {
  limits.body = 50ms;
  start();
  RawHttpClient client(server->port());
  client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  expect_error(client.read_response(), 408, "timeout_error");
}

TEST_F(Connections, CloseWhenIdleTooLong) {
  limits.idle = 50ms;
  start();
  RawHttpClient client(server->port());
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(Connections, WaitForRoomWhenThereAreTooMany) {
  limits.connections_max = 1;
  start();
  auto first = std::make_unique<RawHttpClient>(server->port());
  first->send(raw_request("GET", "/health"));
  EXPECT_EQ(first->read_response().status, 200U);
  RawHttpClient second(server->port());
  second.send(raw_request("GET", "/health"));
  first.reset();
  EXPECT_EQ(second.read_response().status, 200U);
}

class VanishingClient : public ServerTest, public testing::WithParamInterface<bool> {};

TEST_P(VanishingClient, CancelsItsGenerationBeforeTheFirstToken) {
  const auto [client, running] = ask_and_hold(GetParam());
  ASSERT_NE(running, nullptr);
  client->close();
  EXPECT_TRUE(running->wait_until_cancelled(soon()));
}

TEST_P(VanishingClient, CancelsItsGenerationByAReset) {
  const auto [client, running] = ask_and_hold(GetParam());
  ASSERT_NE(running, nullptr);
  running->emit(GenerationStarted{});
  running->emit_text("x");
  client->reset();
  EXPECT_TRUE(running->wait_until_cancelled(soon()));
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutStream, VanishingClient, testing::Bool());

TEST_F(Connections, CancelTheGenerationOfAClientThatLeavesMidStream) {
  const auto [client, running] = ask_and_hold(true);
  ASSERT_NE(running, nullptr);
  running->emit(GenerationStarted{});
  running->emit_text("first words");
  EXPECT_THAT(client->read_until("first words"), HasSubstr("first words"));
  client->close();
  EXPECT_TRUE(running->wait_until_cancelled(soon()));
  EXPECT_EQ(ask("GET", "/health").status, 200U);
}

TEST_F(Connections, CutAClientThatDoesNotRead) {
  limits.write = 50ms;
  const auto [client, running] = ask_and_hold(true);
  ASSERT_NE(running, nullptr);
  running->emit(GenerationStarted{});
  // More than the socket buffers of both sides hold.
  running->emit_text(std::string(64'000'000, 'x'));
  EXPECT_TRUE(running->wait_until_cancelled(soon()));
}

}  // namespace
}  // namespace onnxlocal
