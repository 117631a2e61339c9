#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/json.h"
#include "raw_http_client.h"
#include "scripted_provider.h"
#include "server/server.h"

namespace onnxlocal {

/// A server on a free port over a scripted provider: what the tests of this folder share.
class ServerTest : public testing::Test {
 protected:
  static constexpr std::chrono::seconds kPatience{10};

  ServerTest() : provider(std::make_shared<ScriptedProvider>()) {
    limits.linger = std::chrono::milliseconds(500);
    limits.farewell = std::chrono::milliseconds(500);
    provider->set_script(scripted_answer({"Hello", " world"}));
  }

  void start() {
    options.port = 0;
    options.limits = limits;
    auto started = Server::start(options, provider);
    ASSERT_TRUE(started.has_value()) << started.error().message;
    server = *std::move(started);
  }

  /// Sends one request on a connection of its own.
  RawResponse ask(std::string_view method, std::string_view path, std::string_view body = {},
                  const std::vector<std::string>& headers = {}) {
    if (!server) start();
    RawHttpClient client(server->port());
    client.send(raw_request(method, path, body, headers));
    return client.read_response(method != "HEAD");
  }

  /// A message that the provider has begun with and that waits for the test's events.
  struct Held {
    std::unique_ptr<RawHttpClient> client;
    std::shared_ptr<ScriptedProvider::Running> running;
  };
  Held ask_and_hold(bool stream) {
    provider->set_script({});
    start();
    auto client = std::make_unique<RawHttpClient>(server->port());
    client->send(raw_request("POST", "/v1/messages", message_body(stream)));
    return {.client = std::move(client), .running = provider->wait_for(0, soon())};
  }

  static Deadline soon() { return Deadline::after(kPatience); }

  static std::string message_body(bool stream, std::string_view more = {}) {
    return std::string(
               R"({"model":"scripted","max_tokens":9,"messages":[{"role":"user","content":)") +
           R"("Hi there"}],"stream":)" + (stream ? "true" : "false") + std::string(more) + "}";
  }

  static json::value parse(const std::string& body) {
    auto value = json::parse(body);
    EXPECT_TRUE(value.has_value()) << body;
    return value ? *value : json::value(json::object{});
  }

  static void expect_error(const RawResponse& response, unsigned status, std::string_view type) {
    EXPECT_EQ(response.status, status) << response.body;
    const json::value body = parse(response.body);
    EXPECT_EQ(body.at("type"), "error");
    EXPECT_EQ(std::string_view(body.at("error").at("type").get_string()), type);
    EXPECT_EQ(std::string_view(body.at("request_id").get_string()), response.header("request-id"));
  }

  ServerOptions options;
  ServerLimits limits;
  std::shared_ptr<ScriptedProvider> provider;
  std::unique_ptr<Server> server;
};

}  // namespace onnxlocal
