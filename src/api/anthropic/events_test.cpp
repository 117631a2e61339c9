#include "api/anthropic/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"

namespace onnxlocal::anthropic {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Usage kPrompt{.input_tokens = 2, .cache_read_tokens = 8, .cache_creation_tokens = 2};
const Usage kWhole{
    .input_tokens = 2, .cache_read_tokens = 8, .cache_creation_tokens = 2, .output_tokens = 3};

StreamEncoder encoder() { return StreamEncoder({"msg_1", "claude-x", "req_1"}); }

GenerationEvent finished(StopReason reason, std::string stop_string = {}) {
  return GenerationFinished{
      .reason = reason, .stop_string = std::move(stop_string), .usage = kWhole};
}

struct Event {
  std::string name;
  json::object data;
};

/// Takes a stream apart, and checks that each event's name is its data's type.
std::vector<Event> take_apart(const std::string& stream) {
  std::vector<Event> events;
  std::istringstream lines(stream);
  std::string name;
  std::string data;
  std::string blank;
  while (std::getline(lines, name) && std::getline(lines, data) && std::getline(lines, blank)) {
    EXPECT_TRUE(name.starts_with("event: ")) << name;
    EXPECT_TRUE(data.starts_with("data: ")) << data;
    EXPECT_EQ(blank, "");
    auto value = json::parse(data.substr(6));
    EXPECT_TRUE(value.has_value());
    events.push_back({name.substr(7), value->get_object()});
    EXPECT_EQ(events.back().data.at("type"), json::value(name.substr(7)));
  }
  return events;
}

std::vector<std::string> names(const std::string& stream) {
  std::vector<std::string> result;
  for (const Event& event : take_apart(stream)) result.push_back(event.name);
  return result;
}

TEST(StreamEncoder, SendsTheEventsInTheirOrder) {
  StreamEncoder stream = encoder();
  std::string text = stream.encode(GenerationStarted{kPrompt});
  text += stream.encode(GenerationDelta{.text = "Hel", .tokens = {}});
  text += stream.encode(GenerationDelta{.text = "", .tokens = {}});
  text += stream.encode(GenerationDelta{.text = "lo\n\"", .tokens = {}});
  text += stream.encode(finished(StopReason::kEndOfTurn));
  EXPECT_THAT(names(text), ElementsAre("message_start", "ping", "content_block_start",
                                       "content_block_delta", "content_block_delta",
                                       "content_block_stop", "message_delta", "message_stop"));
}

TEST(StreamEncoder, TellsIdentityAndPromptUsageFirst) {
  StreamEncoder stream = encoder();
  const auto events = take_apart(stream.encode(GenerationStarted{kPrompt}));
  const json::object& message = events.at(0).data.at("message").get_object();
  EXPECT_EQ(message.at("id"), "msg_1");
  EXPECT_EQ(message.at("model"), "claude-x");
  EXPECT_TRUE(message.at("content").get_array().empty());
  EXPECT_TRUE(message.at("stop_reason").is_null());
  EXPECT_EQ(message.at("usage").at("input_tokens"), 2);
  EXPECT_EQ(message.at("usage").at("cache_read_input_tokens"), 8);
  EXPECT_EQ(message.at("usage").at("cache_creation_input_tokens"), 2);
}

TEST(StreamEncoder, EndsWithReasonAndTotals) {
  StreamEncoder stream = encoder();
  static_cast<void>(stream.encode(GenerationStarted{kPrompt}));
  const auto events = take_apart(stream.encode(finished(StopReason::kStopString, "END")));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].data.at("delta").at("stop_reason"), "stop_sequence");
  EXPECT_EQ(events[0].data.at("delta").at("stop_sequence"), "END");
  EXPECT_EQ(events[0].data.at("usage").at("output_tokens"), 3);
  EXPECT_EQ(events[0].data.at("usage").at("input_tokens"), 2);
}

TEST(StreamEncoder, DoesNotStartTwiceAfterAnEarlyStart) {
  StreamEncoder stream = encoder();
  const auto events = take_apart(stream.start_early(12));
  EXPECT_EQ(events.at(0).data.at("message").at("usage").at("input_tokens"), 12);
  EXPECT_EQ(stream.encode(GenerationStarted{kPrompt}), "");
}

TEST(StreamEncoder, TellsLateErrorsAsAnEvent) {
  StreamEncoder stream = encoder();
  const auto events = take_apart(stream.encode(GenerationFailed{overloaded("full")}));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].name, "error");
  EXPECT_EQ(events[0].data.at("error").at("type"), "overloaded_error");
  EXPECT_EQ(events[0].data.at("request_id"), "req_1");
}

TEST(MessageBuilder, GathersOneMessage) {
  MessageBuilder builder({"msg_1", "claude-x", "req_1"});
  builder.add({.text = "Hel", .tokens = {}});
  builder.add({.text = "lo", .tokens = {}});
  const json::value body =
      json::parse(builder.finish({StopReason::kTokensMax, "", kWhole})).value();
  EXPECT_EQ(body.at("content").at(0).at("text"), "Hello");
  EXPECT_EQ(body.at("stop_reason"), "max_tokens");
  EXPECT_TRUE(body.at("stop_sequence").is_null());
  EXPECT_EQ(body.at("usage").at("output_tokens"), 3);
}

TEST(MessageBuilder, HasNoBlocksWhereTheModelSaidNothing) {
  const MessageBuilder builder({"msg_1", "claude-x", "req_1"});
  EXPECT_THAT(builder.finish({StopReason::kEndOfTurn, "", kWhole}), HasSubstr(R"("content":[])"));
}

TEST(CountTokens, HasItsBody) {
  EXPECT_THAT(count_tokens_body(9), HasSubstr("\"input_tokens\":9"));
}

}  // namespace
}  // namespace onnxlocal::anthropic
