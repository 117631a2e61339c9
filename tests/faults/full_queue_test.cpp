// The real server over a real engine whose queue is full. The decoder waits at its first forward
// pass, so that what runs and what waits stays so until the test lets go.
#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/channel.h"
#include "base/json.h"
#include "engine_server.h"

namespace onnxlocal {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr std::string_view kBody =
    R"({"model":"tiny","max_tokens":4,"messages":[{"role":"user","content":"Hi"}]})";

TEST(FullQueue, IsAnsweredAtOnceWithWhenToComeBack) {
  std::latch gate(1);
  FakeDecoderOptions decoder;
  decoder.slots = 1;
  decoder.before_forward = [&gate](std::span<const Step>) { gate.wait(); };
  EngineOptions engine;
  engine.queue_max = 1;
  const EngineServer server(std::move(decoder), std::move(engine));
  const auto ask = [&server] { return server.ask("POST", "/v1/messages", kBody); };

  // One runs, one waits, and one is too many: whichever comes last.
  Channel<RawResponse> answers(3);
  std::vector<std::jthread> clients;
  clients.reserve(3);
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] { answers.push(ask()); });
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
  EXPECT_EQ(ask().status, 200U) << "the one that came back";
}

}  // namespace
}  // namespace onnxlocal
