// The real server over a real engine whose queue is full. The decoder waits at its first forward
// pass, so that what runs and what waits stays so until the test lets go.
#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/json.h"
#include "fake_decoder.h"
#include "provider/local.h"
#include "raw_http_client.h"
#include "server/server.h"

namespace onnxlocal {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr std::string_view kBody =
    R"({"model":"tiny","max_tokens":4,"messages":[{"role":"user","content":"Hi"}]})";

std::shared_ptr<LocalProvider> make_provider(std::latch& gate) {
  FakeDecoderOptions options;
  options.vocabulary_size = 259;
  options.slots = 1;
  options.before_forward = [&gate](std::span<const Step>) { gate.wait(); };
  LocalParts parts;
  parts.name = "tiny";
  parts.decoder = std::make_unique<FakeDecoder>(std::move(options));
  parts.tokenizer = *Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
  EngineOptions engine;
  engine.queue_max = 1;
  auto provider = LocalProvider::from_parts(std::move(parts), std::move(engine));
  EXPECT_TRUE(provider.has_value());
  return *std::move(provider);
}

RawResponse ask(const Server& server) {
  RawHttpClient client(server.port());
  client.send(raw_request("POST", "/v1/messages", kBody));
  return client.read_response();
}

TEST(FullQueue, IsAnsweredAtOnceWithWhenToComeBack) {
  std::latch gate(1);
  const auto provider = make_provider(gate);
  ServerOptions options;
  options.port = 0;
  const auto server = Server::start(options, provider);
  ASSERT_TRUE(server.has_value()) << describe(server.error());

  // One runs, one waits, and one is too many: whichever comes last.
  Channel<RawResponse> answers(3);
  std::vector<std::jthread> clients;
  clients.reserve(3);
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] { answers.push(ask(**server)); });
  }
  const auto refused = answers.pop(Deadline::after(kPatience));
  gate.count_down();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status, 529U) << refused->body;
  EXPECT_EQ(refused->header("retry-after"), "1");
  EXPECT_EQ(refused->header("x-should-retry"), "true");
  const auto body = json::parse(refused->body);
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->at("type"), "error");
  EXPECT_EQ(body->at("error").at("type"), "overloaded_error");

  for (int i = 0; i < 2; ++i) {
    const auto served = answers.pop(Deadline::after(kPatience));
    ASSERT_TRUE(served.has_value());
    EXPECT_EQ(served->status, 200U) << served->body;
  }
  EXPECT_EQ(ask(**server).status, 200U) << "the one that came back";
}

}  // namespace
}  // namespace onnxlocal
