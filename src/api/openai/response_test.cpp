#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/openai/response_reply.h"
#include "api/openai/response_request.h"
#include "api/openai/test_replies.h"
#include "api/openai/test_requests.h"

namespace onnxlocal::openai {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

ResponseRequest parse(const std::string& fields) {
  return accepted(parse_response_request(R"({"model":"m",)" + fields + "}"));
}
std::string refused(const std::string& fields) {
  return complaint(parse_response_request(R"({"model":"m",)" + fields + "}"));
}
std::vector<Message> messages(const std::string& input, const std::string& earlier = "[]") {
  const ResponseRequest request = parse("\"input\":" + input);
  return accepted(conversation_of("", json::parse(earlier).value().get_array(), request.input));
}
std::string refused_items(const std::string& input) {
  const ResponseRequest request = parse("\"input\":" + input);
  return complaint(conversation_of("", {}, request.input));
}

TEST(ResponseRequest, TakesTextForOneMessage) {
  EXPECT_EQ(messages("\"hi\""), messages(R"([{"role":"user","content":"hi"}])"));
  EXPECT_THAT(messages("\"hi\""), ElementsAre(message(Role::kUser, "hi")));
}

TEST(ResponseRequest, ReadsItsSettings) {
  const ResponseRequest request = parse(R"("input":"x","instructions":"S","max_output_tokens":5,
    "stream":true,"store":false,"previous_response_id":"resp_1","reasoning":{"effort":"low"},
    "include":["message.output_text.logprobs"],"top_logprobs":2,"temperature":0,
    "text":{"format":{"type":"json_schema","name":"n","schema":{"b":1.0, "a":2}}},
    "tools":[{"type":"function","name":"f","parameters":{"z":1,"a":2}}],
    "tool_choice":{"type":"function","name":"f"})");
  EXPECT_EQ(request.instructions, "S");
  EXPECT_EQ(request.previous_response_id, "resp_1");
  EXPECT_TRUE(request.stream);
  EXPECT_FALSE(request.store);
  const GenerationRequest& generation = request.generation;
  EXPECT_EQ(generation.tokens_max, 5U);
  EXPECT_EQ(generation.thinking.mode, ThinkingOptions::Mode::kEnabled);
  EXPECT_EQ(generation.sampling.logprobs, 2U);
  EXPECT_EQ(generation.output_format.schema, R"({"b":1.0, "a":2})");
  EXPECT_EQ(generation.tools.at(0).input_schema, R"({"z":1,"a":2})");
  EXPECT_EQ(generation.tool_choice.name, "f");
  EXPECT_EQ(request.echo.at("instructions"), "S");
  EXPECT_EQ(request.echo.at("truncation"), "disabled");
}

TEST(ResponseRequest, NamesToolsAndItemsThatAreNotHere) {
  EXPECT_THAT(refused(R"("input":"x","tools":[{"type":"web_search"}])"),
              StartsWith("tools.0.type: tools of the type 'web_search'"));
  EXPECT_THAT(refused_items(R"([{"type":"item_reference","id":"i"}])"),
              StartsWith("input.0.type: items of the type 'item_reference'"));
  EXPECT_THAT(refused_items(R"([{"role":"user","content":[{"type":"input_image"}]}])"),
              StartsWith("input.0.content.0: 'input_image' is not supported"));
  EXPECT_THAT(refused(R"("input":"x","background":true)"), StartsWith("background: "));
  EXPECT_THAT(refused(R"("input":"x","conversation":"c")"), StartsWith("conversation: "));
  EXPECT_THAT(refused(R"("input":[])"), StartsWith("input: "));
}

TEST(ResponseRequest, GoesOnFromEarlierItems) {
  const auto list = messages(R"([{"type":"function_call_output","call_id":"c1","output":"3"}])",
                             R"([{"role":"user","content":"1+2?"},
          {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
          {"type":"message","role":"assistant","content":[{"type":"output_text","text":"wait"}]},
          {"type":"function_call","call_id":"c1","name":"add","arguments":"{\"a\":1}"}])");
  ASSERT_EQ(list.size(), 3U);
  EXPECT_THAT(list[1].content,
              ElementsAre(ContentBlock(ThinkingBlock{"hm"}), ContentBlock(TextBlock{"wait"}),
                          ContentBlock(ToolUseBlock{"c1", "add", R"({"a":1})"})));
  EXPECT_THAT(list[2].content, ElementsAre(ContentBlock(ToolResultBlock{"c1", "add", "3", false})));
}

TEST(ResponseRequest, PutsInstructionsInFront) {
  const ResponseRequest request = parse(R"("input":"hi")");
  EXPECT_THAT(accepted(conversation_of("S", {}, request.input)),
              ElementsAre(message(Role::kSystem, "S"), message(Role::kUser, "hi")));
}

std::vector<GenerationEvent> all_kinds() {
  return {GenerationStarted{},
          ThinkingDelta{"hm"},
          GenerationDelta{.text = "Hel", .tokens = {}},
          GenerationDelta{.text = "lo", .tokens = {}},
          ToolUseStarted{.id = "toolu_1", .name = "f"},
          ToolInputDelta{"{}"},
          GenerationFinished{.reason = StopReason::kToolUse, .stop_string = {}, .usage = kWhole}};
}

ReplyOptions response_options(bool is_stream) {
  ReplyOptions options;
  options.id = "resp_1";
  options.model = "m";
  options.is_stream = is_stream;
  return options;
}

TEST(ResponseReply, IsOneBodyWithItems) {
  std::size_t kept = 0;
  const auto encoder =
      make_response_encoder(response_options(false), {{"store", true}},
                            [&](const json::object& response) { kept += response.size(); });
  const json::value body = json::parse(run(*encoder, all_kinds())).value();
  EXPECT_EQ(body.at("status"), "completed");
  EXPECT_EQ(body.at("store"), true);
  EXPECT_EQ(body.at("output").at(0).at("type"), "reasoning");
  EXPECT_EQ(body.at("output").at(1).at("content").at(0).at("text"), "Hello");
  EXPECT_EQ(body.at("output").at(2).at("call_id"), "call_1");
  EXPECT_EQ(body.at("output").at(2).at("arguments"), "{}");
  EXPECT_EQ(body.at("usage").at("total_tokens"), 15);
  EXPECT_EQ(kept, body.get_object().size());
}

TEST(ResponseReply, StreamsNumberedEventsInTheirOrder) {
  const auto encoder = make_response_encoder(response_options(true), {}, {});
  std::vector<std::string> types;
  std::int64_t number = 0;
  for (const json::value& event : data_of(run(*encoder, all_kinds()))) {
    EXPECT_EQ(event.at("sequence_number"), number++);
    types.emplace_back(event.at("type").get_string());
  }
  EXPECT_THAT(types,
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.content_part.added", "response.reasoning_text.delta",
                          "response.reasoning_text.done", "response.content_part.done",
                          "response.output_item.done", "response.output_item.added",
                          "response.content_part.added", "response.output_text.delta",
                          "response.output_text.delta", "response.output_text.done",
                          "response.content_part.done", "response.output_item.done",
                          "response.output_item.added", "response.function_call_arguments.delta",
                          "response.function_call_arguments.done", "response.output_item.done",
                          "response.completed"));
}

TEST(ResponseReply, SaysWhereItWasCut) {
  const auto encoder = make_response_encoder(response_options(false), {}, {});
  const json::value body =
      json::parse(run(*encoder, text_events({"x"}, StopReason::kTokensMax))).value();
  EXPECT_EQ(body.at("status"), "incomplete");
  EXPECT_EQ(body.at("incomplete_details").at("reason"), "max_output_tokens");
}

TEST(ResponseReply, TellsALateErrorAsAFailedResponse) {
  const auto encoder = make_response_encoder(response_options(true), {}, {});
  const auto events =
      data_of(run(*encoder, {GenerationStarted{}, GenerationFailed{internal_error("broken")}}));
  EXPECT_EQ(events.back().at("type"), "response.failed");
  EXPECT_EQ(events.back().at("response").at("error").at("message"), "broken");
}

}  // namespace
}  // namespace onnxlocal::openai
