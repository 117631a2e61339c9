// Tools as clients declare, choose, call and answer them.
#include "api/anthropic/tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/test_requests.h"

namespace onnxlocal::anthropic {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kWeather = R"({"name":"weather","description":"Tells it.","input_schema":
  {"type":"object", "properties":{"z":{"type":"number","minimum":1.0},"a":{"const":1e2}}}})";

std::string request(const std::string& fields, const std::string& list = "") {
  const std::string asked = R"([{"role":"user","content":"hi"}])";
  return R"({"model":"m","max_tokens":4000,"messages":)" + (list.empty() ? asked : list) + "," +
         fields + "}";
}

GenerationRequest with(const std::string& fields, const std::string& list = "") {
  return parse(request(fields, list)).generation;
}

const std::string kCall = R"({"role":"user","content":"q"},{"role":"assistant","content":[
  {"type":"text","text":"Look."},
  {"type":"tool_use","id":"toolu_1","name":"weather","input":{"z": 1.0, "a":"\u00e9"},
   "caller":{"type":"direct"}}]})";

std::string with_result(const std::string& result) { return "[" + kCall + "," + result + "]"; }

std::string result_text(const std::string& content, const std::string& more = "") {
  const auto parsed = messages(with_result(R"({"role":"user","content":[{"type":"tool_result",
      "tool_use_id":"toolu_1","content":)" +
                                           content + "}]}"),
                               more);
  return std::get<ToolResultBlock>(parsed.at(2).content.at(0)).text;
}

TEST(Tools, KeepTheClientsOwnSchema) {
  const GenerationRequest parsed = with("\"tools\":[" + kWeather + "]");
  ASSERT_EQ(parsed.tools.size(), 1U);
  EXPECT_EQ(parsed.tools[0].name, "weather");
  EXPECT_EQ(parsed.tools[0].description, "Tells it.");
  EXPECT_EQ(parsed.tools[0].input_schema,
            R"({"type":"object","properties":{"z":{"type":"number","minimum":1.0},)"
            R"("a":{"const":1e2}}})");
  EXPECT_TRUE(parsed.tools[0].is_listed);
  EXPECT_FALSE(parsed.tools[0].is_strict);
}

TEST(Tools, TakeEveryFieldOfACustomTool) {
  const GenerationRequest parsed = with(R"("tools":[{"type":"custom","name":"x","strict":true,
    "eager_input_streaming":true,"input_schema":{"type":"object"},"description":"D",
    "input_examples":[{"b": 1.50}],"allowed_callers":["direct"],"future":1,
    "cache_control":{"type":"ephemeral","ttl":"1h"}}])");
  EXPECT_TRUE(parsed.tools.at(0).is_strict);
  EXPECT_EQ(parsed.tools[0].description, "D\n\nExamples of its input:\n{\"b\":1.50}");
  ASSERT_EQ(parsed.cache_breakpoints.size(), 1U);
  EXPECT_EQ(parsed.cache_breakpoints[0].messages, 0U);
  EXPECT_EQ(parsed.cache_breakpoints[0].ttl, std::chrono::hours(1));
}

TEST(Tools, AreChosenInEachWay) {
  const std::string tools = "\"tools\":[" + kWeather + "],";
  EXPECT_EQ(with(tools + R"("tool_choice":{"type":"auto"})").tool_choice, ToolChoice());
  EXPECT_EQ(with(tools + R"("tool_choice":{"type":"none"})").tool_choice.mode,
            ToolChoice::Mode::kNone);
  const ToolChoice any =
      with(tools + R"("tool_choice":{"type":"any","disable_parallel_tool_use":true})").tool_choice;
  EXPECT_EQ(any.mode, ToolChoice::Mode::kAny);
  EXPECT_FALSE(any.allows_parallel);
  const ToolChoice named =
      with(tools + R"("tool_choice":{"type":"tool","name":"weather"})").tool_choice;
  EXPECT_EQ(named.mode, ToolChoice::Mode::kNamed);
  EXPECT_EQ(named.name, "weather");
}

TEST(Tools, MayNotBeForcedWhileThinking) {
  const std::string forced = "\"tools\":[" + kWeather + R"(],"tool_choice":{"type":"any"},)";
  EXPECT_THAT(complaint(request(forced + R"("thinking":{"type":"enabled","budget_tokens":1024})")),
              HasSubstr("Thinking may not be enabled when tool_choice forces tool use"));
  EXPECT_EQ(with(forced + R"("thinking":{"type":"adaptive"})").thinking.mode,
            ThinkingOptions::Mode::kDisabled);
}

TEST(ToolCalls, AreKeptInTheHistoryAsTheyWereWritten) {
  const auto parsed = messages(with_result(R"({"role":"user","content":[
      {"type":"tool_result","tool_use_id":"toolu_1","content":"21 C","is_error":true}]})"));
  const ToolUseBlock use{.id = "toolu_1", .name = "weather", .input = "{\"z\":1.0,\"a\":\"é\"}"};
  const ToolResultBlock result{
      .tool_use_id = "toolu_1", .name = "weather", .text = "21 C", .is_error = true};
  EXPECT_THAT(parsed, ElementsAre(message(Role::kUser, "q"),
                                  Message{Role::kAssistant, {TextBlock{"Look."}, use}},
                                  Message{Role::kUser, {result}}));
}

TEST(ToolResults, ComeInEachForm) {
  EXPECT_EQ(result_text("null"), "");
  EXPECT_EQ(result_text("[]"), "");
  EXPECT_EQ(result_text("\"a\""), "a");
  EXPECT_EQ(result_text(R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])"), "a\n\nb");
  EXPECT_THAT(result_text(R"([{"type":"document","source":{"type":"text","data":"D"}}])"),
              HasSubstr("D"));
  const std::string image = with_result(R"({"role":"user","content":[{"type":"tool_result",
      "tool_use_id":"toolu_1","content":[{"type":"image","source":{}}]}]})");
  EXPECT_THAT(complaint(request("\"x\":1", image)),
              HasSubstr("messages.2.content.0.content.0: `image` blocks are not supported"));
}

TEST(ToolResults, ComeFirstInTheirMessage) {
  const auto parsed = messages(with_result(R"({"role":"user","content":[
      {"type":"text","text":"and"},
      {"type":"tool_result","tool_use_id":"toolu_1","content":"r"},
      {"type":"text","text":"then"}]})"));
  ASSERT_EQ(parsed.at(2).content.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<ToolResultBlock>(parsed[2].content[0]));
  EXPECT_EQ(parsed[2].content[1], ContentBlock(TextBlock{"and\n\nthen"}));
}

TEST(DeferredTools, AreNotThereUntilAResultNamesThem) {
  const std::string tools = R"("tools":[{"name":"search","input_schema":{"type":"object"}},
    {"name":"add","description":"Adds","defer_loading":true,"input_schema":{"type":"object"}},
    {"name":"DeferredToolPlaceholder","defer_loading":true,"input_schema":{"type":"object"}}])";
  EXPECT_THAT(with(tools).tools, ElementsAre(testing::Field(&ToolDefinition::name, "search")));
  const std::string list = with_result(R"({"role":"user","content":[{"type":"tool_result",
    "tool_use_id":"toolu_1","content":[{"type":"tool_reference","tool_name":"add"}]}]})");
  const GenerationRequest loaded = with(tools, list);
  ASSERT_EQ(loaded.tools.size(), 2U);
  EXPECT_TRUE(loaded.tools[0].is_listed);
  EXPECT_EQ(loaded.tools[1].name, "add");
  EXPECT_FALSE(loaded.tools[1].is_listed);
  EXPECT_EQ(std::get<ToolResultBlock>(loaded.messages.at(2).content.at(0)).text,
            "This tool can be called from now on:\n"
            R"({"type": "function", "function": {"name": "add", "description": "Adds", )"
            R"("parameters": {"type":"object"}}})");
}

TEST(DeferredTools, AreDescribedInFullOnce) {
  const std::string tools =
      R"(,"tools":[{"name":"add","defer_loading":true,"input_schema":{"type":"object"}}])";
  const std::string twice = R"([{"type":"tool_reference","tool_name":"add"},
                                {"type":"tool_reference","tool_name":"add"}])";
  EXPECT_THAT(result_text(twice, tools), HasSubstr("as was said before"));
}

TEST(DeferredTools, MayBeGoneFromALaterRequest) {
  EXPECT_EQ(result_text(R"([{"type":"tool_reference","tool_name":"gone"}])"),
            "The tool \"gone\" is not there any more.");
}

TEST(DeferredTools, MayBeAddedByASystemMessage) {
  const GenerationRequest parsed =
      with(R"("tools":[{"name":"add","defer_loading":true,"input_schema":{"type":"object"}}])",
           R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},
          {"role":"user","content":"c"},{"role":"system","content":[{"type":"tool_addition",
            "tool":{"type":"tool_reference","name":"add"}}]}])");
  EXPECT_THAT(parsed.tools, ElementsAre(testing::Field(&ToolDefinition::name, "add")));
  EXPECT_THAT(std::get<TextBlock>(parsed.messages.back().content[0]).text, HasSubstr("\"add\""));
}

class MalformedTools : public testing::TestWithParam<BadRequest> {};

TEST_P(MalformedTools, AreRefusedByTheirPath) {
  EXPECT_THAT(complaint(request(GetParam().fields)), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    EachField, MalformedTools,
    testing::Values(
        BadRequest{R"("tools":{})", "tools: Input should be a valid list"},
        BadRequest{R"("tools":[{"name":"x"}])", "tools.0.input_schema: Field required"},
        BadRequest{R"("tools":[{"name":"x","input_schema":{}}])",
                   "tools.0.input_schema.type: Field required"},
        BadRequest{R"("tools":[{"name":"x","input_schema":{"type":"string"}}])",
                   "tools.0.input_schema.type: Input should be 'object'"},
        BadRequest{R"("tools":[{"name":"a b","input_schema":{"type":"object"}}])",
                   "tools.0.name: 'a b' does not match"},
        BadRequest{R"("tools":[{"name":"","input_schema":{"type":"object"}}])", "tools.0.name: "},
        BadRequest{R"("tools":[{"name":"x","input_schema":{"type":"object"}},
                               {"name":"x","input_schema":{"type":"object"}}])",
                   "tools: Tool names must be unique"},
        BadRequest{R"("tools":[{"type":"bash_20250124","name":"bash"}])", "`bash_20250124`"},
        BadRequest{R"("tools":[{"type":"web_search_20250305","name":"web_search"}])",
                   "tools.0: `web_search_20250305` is one of Anthropic's own tools"},
        BadRequest{R"("tools":[{"type":"hologram","name":"x"}])", "tools.0: Input tag 'hologram'"},
        BadRequest{R"("tools":[{"name":"x","input_schema":{"type":"object"},
                     "allowed_callers":["code_execution_20260521"]}])",
                   "tools.0.allowed_callers: 'direct' has to"},
        BadRequest{R"("tools":[{"name":"x","input_schema":{"type":"object"},
                     "cache_control":{"type":"ephemeral","ttl":"2h"}}])",
                   "tools.0.cache_control.ttl: Input should be '5m' or '1h'"},
        BadRequest{R"("tool_choice":{"type":"any"})", "tool_choice: it may only demand a call"},
        BadRequest{R"("tool_choice":{"type":"tool","name":"nope"})",
                   "tool_choice.name: Tool 'nope' not found"},
        BadRequest{R"("tool_choice":{"type":"maybe"})", "tool_choice.type: Input should be"}));

class MalformedToolHistory : public testing::TestWithParam<BadRequest> {};

TEST_P(MalformedToolHistory, IsRefusedByItsPath) {
  EXPECT_THAT(complaint(request("\"x\":1", GetParam().fields)), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    EachBlock, MalformedToolHistory,
    testing::Values(
        BadRequest{R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_z",
                        "content":"x"}]}])",
                   "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                   "toolu_z. Each `tool_result` block must have a corresponding `tool_use` block"},
        BadRequest{"[" + kCall + R"(,{"role":"user","content":"never mind"},
                        {"role":"assistant","content":"ok"},{"role":"user","content":"x"}])",
                   "messages.1: `tool_use` ids were found without `tool_result` blocks immediately "
                   "after: toolu_1."},
        BadRequest{"[" + kCall + "]", "messages.1: `tool_use` ids were found without"},
        BadRequest{"[" + kCall + R"(,{"role":"user","content":[
                       {"type":"tool_result","tool_use_id":"toolu_1"},
                       {"type":"tool_result","tool_use_id":"toolu_1"}]}])",
                   "messages.2.content.1: each tool_use must have a single result"},
        BadRequest{R"([{"role":"user","content":"q"},{"role":"assistant","content":[
                       {"type":"tool_use","id":"t","name":"n","input":{}},
                       {"type":"tool_use","id":"t","name":"n","input":{}}]}])",
                   "messages.1.content.1: `tool_use` ids must be unique"},
        BadRequest{R"([{"role":"user","content":"q"},{"role":"assistant","content":[
                       {"type":"tool_use","id":"t","name":"n","input":[]}]}])",
                   "messages.1.content.0.input: Input should be an object"},
        BadRequest{R"([{"role":"user","content":"q"},{"role":"assistant","content":[
                       {"type":"tool_use","id":"t t","name":"n","input":{}}]}])",
                   "messages.1.content.0.id: 't t' does not match"},
        BadRequest{R"([{"role":"user","content":[
                       {"type":"tool_use","id":"t","name":"n","input":{}}]}])",
                   "messages.0.content.0: `tool_use` blocks cannot be here"}));

}  // namespace
}  // namespace onnxlocal::anthropic
