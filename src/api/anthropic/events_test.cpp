#include "api/anthropic/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "api/anthropic/thinking_signature.h"
#include "base/json.h"

namespace onnxlocal::anthropic {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Usage kPrompt{.input_tokens = 2, .cache_read_tokens = 8, .cache_creation_tokens = 2};
const Usage kWhole{
    .input_tokens = 2, .cache_read_tokens = 8, .cache_creation_tokens = 2, .output_tokens = 3};

StreamEncoder encoder(const ReplyStyle& style = {}) {
  return StreamEncoder({"msg_1", "claude-x", "req_1", style});
}

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
  const auto events = take_apart(stream.start_early({.input_tokens = 4, .cache_read_tokens = 8}));
  const json::value& usage = events.at(0).data.at("message").at("usage");
  EXPECT_EQ(usage.at("input_tokens"), 4);
  EXPECT_EQ(usage.at("cache_read_input_tokens"), 8);
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
  MessageBuilder builder({"msg_1", "claude-x", "req_1", {}});
  builder.add(GenerationDelta{.text = "Hel", .tokens = {}});
  builder.add(GenerationDelta{.text = "lo", .tokens = {}});
  const json::value body =
      json::parse(builder.finish({StopReason::kTokensMax, "", kWhole})).value();
  EXPECT_EQ(body.at("content").at(0).at("text"), "Hello");
  EXPECT_EQ(body.at("stop_reason"), "max_tokens");
  EXPECT_TRUE(body.at("stop_sequence").is_null());
  EXPECT_EQ(body.at("usage").at("output_tokens"), 3);
}

TEST(MessageBuilder, HasNoBlocksWhereTheModelSaidNothing) {
  MessageBuilder builder({"msg_1", "claude-x", "req_1", {}});
  EXPECT_THAT(builder.finish({StopReason::kEndOfTurn, "", kWhole}), HasSubstr(R"("content":[])"));
}

/// What a model that thinks, talks and calls does.
std::vector<GenerationEvent> agent_turn() {
  return {GenerationStarted{kPrompt},
          ThinkingDelta{"Let me "},
          ThinkingDelta{"look."},
          GenerationDelta{.text = "I look.", .tokens = {}},
          ToolUseStarted{.id = "toolu_1", .name = "look"},
          ToolInputDelta{R"({"b":1.0,)"},
          ToolInputDelta{R"("a":"x"})"},
          ToolUseStarted{.id = "toolu_2", .name = "wait"},
          finished(StopReason::kToolUse)};
}

json::value gather(const ReplyStyle& style = {}) {
  MessageBuilder builder({"msg_1", "claude-x", "req_1", style});
  const auto events = agent_turn();
  for (std::size_t i = 0; i + 1 < events.size(); ++i) builder.add(events[i]);
  const std::string text = builder.finish(std::get<GenerationFinished>(events.back()));
  EXPECT_THAT(text, HasSubstr(R"("input":{"b":1.0,"a":"x"})"));
  return json::parse(text).value();
}

std::string stream_agent_turn(const ReplyStyle& style = {}) {
  StreamEncoder stream = encoder(style);
  std::string text;
  for (const GenerationEvent& event : agent_turn()) text += stream.encode(event);
  return text;
}

/// Puts a stream together as the SDKs do.
json::array assemble(const std::string& stream) {
  json::array blocks;
  std::vector<std::string> inputs;
  for (const Event& event : take_apart(stream)) {
    if (event.name == "content_block_start") {
      EXPECT_EQ(event.data.at("index"), json::value(blocks.size()));
      blocks.push_back(event.data.at("content_block"));
      inputs.emplace_back();
    }
    if (event.name != "content_block_delta") continue;
    const std::size_t index = event.data.at("index").to_number<std::size_t>();
    EXPECT_EQ(index + 1, blocks.size());
    json::object& block = blocks.at(index).get_object();
    for (const auto& [key, value] : event.data.at("delta").get_object()) {
      if (key == "partial_json") inputs[index] += value.get_string();
      if (key == "text" || key == "thinking" || key == "signature") {
        block[key].get_string() += value.get_string();
      }
    }
    if (!inputs[index].empty()) {
      if (auto input = json::parse(inputs[index])) block["input"] = *input;
    }
  }
  return blocks;
}

TEST(StreamEncoder, MakesABlockOfEachRun) {
  EXPECT_THAT(names(stream_agent_turn()),
              ElementsAre("message_start", "ping",                                              //
                          "content_block_start", "content_block_delta", "content_block_delta",  //
                          "content_block_delta", "content_block_stop",                          //
                          "content_block_start", "content_block_delta", "content_block_stop",   //
                          "content_block_start", "content_block_delta", "content_block_delta",  //
                          "content_block_stop",                                                 //
                          "content_block_start", "content_block_delta", "content_block_stop",   //
                          "message_delta", "message_stop"));
}

TEST(StreamEncoder, SaysWhatTheWholeMessageSays) {
  for (const ThinkingDisplay display : {ThinkingDisplay::kShown, ThinkingDisplay::kOmitted}) {
    const ReplyStyle style{.thinking_display = display};
    EXPECT_EQ(json::value(assemble(stream_agent_turn(style))), gather(style).at("content"));
  }
}

TEST(StreamEncoder, SignsThinkingBeforeItsStop) {
  const auto events = take_apart(stream_agent_turn());
  EXPECT_EQ(events.at(3).data.at("delta").at("type"), "thinking_delta");
  EXPECT_TRUE(events.at(3).data.at("delta").at("estimated_tokens").is_null());
  const json::value& signature = events.at(5).data.at("delta");
  EXPECT_EQ(signature.at("type"), "signature_delta");
  EXPECT_EQ(text_of_signature(signature.at("signature").get_string()), "Let me look.");
}

TEST(StreamEncoder, ShowsNoThinkingWhereItIsOmitted) {
  const json::value content = gather({.thinking_display = ThinkingDisplay::kOmitted}).at("content");
  EXPECT_EQ(content.at(0).at("thinking"), "");
  EXPECT_EQ(text_of_signature(content.at(0).at("signature").get_string()), "Let me look.");
}

TEST(StreamEncoder, CountsOmittedThinkingForClientsThatAsk) {
  StreamEncoder stream =
      encoder({.thinking_display = ThinkingDisplay::kOmitted, .counts_thinking = true});
  static_cast<void>(stream.encode(GenerationStarted{kPrompt}));
  std::size_t counted = 0;
  for (int i = 0; i < 100; ++i) {
    for (const Event& event : take_apart(stream.encode(ThinkingDelta{"hmm, "}))) {
      if (event.name != "content_block_delta") continue;
      EXPECT_EQ(event.data.at("delta").at("thinking"), "");
      counted += event.data.at("delta").at("estimated_tokens").to_number<std::size_t>();
    }
  }
  EXPECT_GE(counted, 90U);
  EXPECT_LE(counted, 125U);
}

TEST(StreamEncoder, GivesACallWithoutArgumentsAnEmptyObject) {
  const json::array content = assemble(stream_agent_turn());
  EXPECT_EQ(content.at(3).at("input"), json::value(json::object{}));
  EXPECT_EQ(content.at(3).at("caller").at("type"), "direct");
  EXPECT_THAT(stream_agent_turn(), HasSubstr(R"("partial_json":"{}")"));
}

TEST(StreamEncoder, TellsHowManyTokensWereThinking) {
  StreamEncoder stream = encoder();
  static_cast<void>(stream.encode(GenerationStarted{kPrompt}));
  const auto events = take_apart(stream.encode(GenerationFinished{
      .reason = StopReason::kToolUse, .stop_string = {}, .usage = {.thinking_tokens = 5}}));
  EXPECT_EQ(events.at(0).data.at("usage").at("output_tokens_details").at("thinking_tokens"), 5);
  EXPECT_EQ(events.at(0).data.at("delta").at("stop_reason"), "tool_use");
}

TEST(MessageBuilder, LeavesOutACallThatWasCut) {
  MessageBuilder builder({"msg_1", "claude-x", "req_1", {}});
  builder.add(ToolUseStarted{.id = "toolu_1", .name = "look"});
  builder.add(ToolInputDelta{R"({"a":)"});
  EXPECT_THAT(builder.finish({StopReason::kTokensMax, "", kWhole}), HasSubstr(R"("content":[])"));
}

TEST(MessageBuilder, CountsCacheCreationUnderTheTimeAskedFor) {
  MessageBuilder builder({"m", "x", "r", {.cache_ttl = std::chrono::hours(1)}});
  const json::value body =
      json::parse(builder.finish({StopReason::kEndOfTurn, "", kWhole})).value();
  const json::value& created = body.at("usage").at("cache_creation");
  EXPECT_EQ(created.at("ephemeral_1h_input_tokens"), 2);
  EXPECT_EQ(created.at("ephemeral_5m_input_tokens"), 0);
}

TEST(CountTokens, HasItsBody) {
  EXPECT_THAT(count_tokens_body(9), HasSubstr("\"input_tokens\":9"));
}

}  // namespace
}  // namespace onnxlocal::anthropic
