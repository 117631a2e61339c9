#include "api/openai/chat_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/openai/test_requests.h"

namespace onnxlocal::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

/// A request with these fields besides a model and a message.
std::string body(const std::string& fields) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" +
         (fields.empty() ? std::string() : "," + fields) + "}";
}

ChatRequest parse(const std::string& fields) { return accepted(parse_chat_request(body(fields))); }
std::string refused(const std::string& fields) {
  return complaint(parse_chat_request(body(fields)));
}

std::vector<Message> messages(const std::string& list) {
  return accepted(parse_chat_request(R"({"model":"m","messages":)" + list + "}"))
      .generation.messages;
}
std::string refused_messages(const std::string& list) {
  return complaint(parse_chat_request(R"({"model":"m","messages":)" + list + "}"));
}

TEST(ChatRequest, TakesAllTheRoomWhereNoLimitIsGiven) {
  EXPECT_EQ(parse("").generation.tokens_max, kTokensUnlimited);
  EXPECT_EQ(parse(R"("max_tokens":7)").generation.tokens_max, 7U);
  EXPECT_EQ(parse(R"("max_tokens":7,"max_completion_tokens":9)").generation.tokens_max, 9U);
  EXPECT_THAT(refused(R"("max_tokens":0)"), StartsWith("max_tokens: "));
}

TEST(ChatRequest, ReadsHowToSample) {
  const auto sampling = parse(R"("temperature":2,"top_p":0.5,"frequency_penalty":-2,
    "presence_penalty":1,"seed":-1,"logit_bias":{"5":-100},"top_k":3)")
                            .generation.sampling;
  EXPECT_EQ(sampling.temperature, 2.0F);
  EXPECT_EQ(sampling.top_p, 0.5F);
  EXPECT_EQ(sampling.frequency_penalty, -2.0F);
  EXPECT_EQ(sampling.presence_penalty, 1.0F);
  EXPECT_EQ(sampling.seed, ~std::uint64_t{0});
  EXPECT_EQ(sampling.logit_bias.at(5), -100.0F);
  EXPECT_EQ(sampling.top_k, 3U);
  EXPECT_FALSE(sampling.logprobs.has_value());
}

TEST(ChatRequest, RefusesWhatIsOutOfRange) {
  EXPECT_THAT(refused(R"("temperature":2.5)"), StartsWith("temperature: "));
  EXPECT_THAT(refused(R"("logit_bias":{"x":1})"), StartsWith("logit_bias: "));
  EXPECT_THAT(refused(R"("logit_bias":{"1":101})"), StartsWith("logit_bias: "));
  EXPECT_THAT(refused(R"("seed":1.5)"), StartsWith("seed: "));
  EXPECT_THAT(refused(R"("stop":[""])"), StartsWith("stop: "));
  EXPECT_THAT(refused(R"("n":2)"), StartsWith("n: only 1"));
}

TEST(ChatRequest, RefusesByNameWhatWouldChangeTheAnswer) {
  for (const char* field : {"functions", "function_call", "audio", "web_search_options"}) {
    EXPECT_THAT(refused(std::string("\"") + field + "\":{}"), StartsWith(field));
  }
}

TEST(ChatRequest, IgnoresWhatOnlyOpenAiHas) {
  parse(R"("user":"u","metadata":{},"store":true,"service_tier":"auto","unheard_of":[1])");
}

TEST(ChatRequest, ReadsStopsEitherWay) {
  EXPECT_THAT(parse(R"("stop":"END")").generation.stop_strings, ElementsAre("END"));
  EXPECT_THAT(parse(R"("stop":["a","b"])").generation.stop_strings, ElementsAre("a", "b"));
  EXPECT_TRUE(parse(R"("stop":null)").generation.stop_strings.empty());
}

TEST(ChatRequest, ReadsWhatToReport) {
  const ChatRequest parsed = parse(
      R"("stream":true,"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":3)");
  EXPECT_TRUE(parsed.stream.stream);
  EXPECT_TRUE(parsed.stream.include_usage);
  EXPECT_EQ(parsed.generation.sampling.logprobs, 3U);
  EXPECT_EQ(parse(R"("logprobs":true)").generation.sampling.logprobs, 0U);
  EXPECT_THAT(refused(R"("top_logprobs":3)"), StartsWith("top_logprobs: needs"));
  EXPECT_THAT(refused(R"("logprobs":true,"top_logprobs":21)"), StartsWith("top_logprobs: "));
}

TEST(ChatRequest, TurnsEffortIntoABudgetOfThinking) {
  using Mode = ThinkingOptions::Mode;
  EXPECT_EQ(parse("").generation.thinking.mode, Mode::kDefault);
  EXPECT_EQ(parse(R"("reasoning_effort":"none")").generation.thinking.mode, Mode::kDisabled);
  const auto thinking = parse(R"("reasoning_effort":"low")").generation.thinking;
  EXPECT_EQ(thinking.mode, Mode::kEnabled);
  EXPECT_GT(thinking.tokens_max.value_or(0), 0U);
  EXPECT_THAT(refused(R"("reasoning_effort":"huge")"), StartsWith("reasoning_effort: "));
}

TEST(ChatRequest, GivesTheSameMessagesHoweverTheyAreWritten) {
  const auto plain = messages(R"([{"role":"system","content":"S"},
    {"role":"user","content":"a\nb"}])");
  EXPECT_THAT(plain, ElementsAre(message(Role::kSystem, "S"), message(Role::kUser, "a\nb")));
  EXPECT_EQ(messages(R"([{"role":"developer","content":[{"type":"text","text":"S"}]},
    {"role":"user","name":"x",
     "content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])"),
            plain);
}

TEST(ChatRequest, JoinsNeighboursOfOneRole) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"a"},{"role":"user","content":"b"}])"),
              ElementsAre(message(Role::kUser, "a\n\nb")));
}

TEST(ChatRequest, MarksALateSystemMessageWhereItStands) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"a"},{"role":"system","content":"S"}])"),
              ElementsAre(message(Role::kUser, "a\n\n<system-reminder>\nS\n</system-reminder>")));
}

TEST(ChatRequest, KeepsCallsAndTheirResults) {
  const auto list = messages(R"([{"role":"user","content":"go"},
    {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[
      {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"b\": 1.0, \"a\":2}"}},
      {"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
    {"role":"tool","tool_call_id":"c1","content":"one"},
    {"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"two"}]},
    {"role":"user","content":"and?"}])");
  ASSERT_EQ(list.size(), 3U);
  EXPECT_THAT(list[1].content,
              ElementsAre(ContentBlock(ThinkingBlock{"hm"}),
                          ContentBlock(ToolUseBlock{"c1", "f", R"({"b": 1.0, "a":2})"}),
                          ContentBlock(ToolUseBlock{"c2", "g", "{}"})));
  EXPECT_THAT(list[2].content, ElementsAre(ContentBlock(ToolResultBlock{"c1", "f", "one", false}),
                                           ContentBlock(ToolResultBlock{"c2", "g", "two", false}),
                                           ContentBlock(TextBlock{"and?"})));
}

TEST(ChatRequest, NamesThePathOfWhatIsWrongInAMessage) {
  EXPECT_THAT(refused_messages("[]"), StartsWith("messages: "));
  EXPECT_THAT(refused_messages(R"([{"role":"user"}])"),
              StartsWith("messages.0.content: Field required"));
  EXPECT_THAT(refused_messages(R"([{"role":"bot","content":"x"}])"),
              StartsWith("messages.0.role: "));
  EXPECT_THAT(refused_messages(R"([{"role":"user","content":[{"type":"image_url"}]}])"),
              StartsWith("messages.0.content.0: 'image_url' is not supported"));
  EXPECT_THAT(refused_messages(R"([{"role":"assistant","tool_calls":[{"id":"c","function":
    {"name":"f","arguments":"[1"}}]}])"),
              StartsWith("messages.0.tool_calls.0.function.arguments: "));
}

TEST(ChatRequest, KeepsASchemaAsTheClientWroteIt) {
  const auto generation = parse(R"("tools":[{"type":"function","function":{"name":"f",
    "description":"D","strict":true,
    "parameters":{"type":"object", "z":1.0,"a":2}}},{"type":"function","function":{"name":"g"}}])")
                              .generation;
  ASSERT_EQ(generation.tools.size(), 2U);
  EXPECT_EQ(generation.tools[0].input_schema, R"({"type":"object", "z":1.0,"a":2})");
  EXPECT_EQ(generation.tools[0].description, "D");
  EXPECT_TRUE(generation.tools[0].is_strict);
  EXPECT_THAT(generation.tools[1].input_schema, HasSubstr("object"));
}

TEST(ChatRequest, ReadsWhichToolIsWanted) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  const auto choice = [&](const std::string& value) {
    return parse(tools + R"(,"parallel_tool_calls":false,"tool_choice":)" + value)
        .generation.tool_choice;
  };
  EXPECT_EQ(choice("\"auto\"").mode, ToolChoice::Mode::kAuto);
  EXPECT_EQ(choice("\"none\"").mode, ToolChoice::Mode::kNone);
  EXPECT_EQ(choice("\"required\"").mode, ToolChoice::Mode::kAny);
  const ToolChoice named = choice(R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(named.mode, ToolChoice::Mode::kNamed);
  EXPECT_EQ(named.name, "f");
  EXPECT_FALSE(named.allows_parallel);
  EXPECT_THAT(refused(R"("tool_choice":"required")"), StartsWith("tool_choice: "));
  EXPECT_THAT(refused(tools + R"(,"tool_choice":{"type":"function","function":{"name":"x"}})"),
              StartsWith("tool_choice: no tool has the name 'x'"));
}

TEST(ChatRequest, RefusesToolsThatAreNoFunctions) {
  EXPECT_THAT(refused(R"("tools":[{"type":"custom","custom":{"name":"f"}}])"),
              StartsWith("tools.0.type: tools of the type 'custom'"));
  EXPECT_THAT(refused(R"("tools":[{"type":"function","function":{"name":"a b"}}])"),
              StartsWith("tools.0.function.name: "));
  EXPECT_THAT(refused(R"("tools":[{"type":"function","function":{"name":"f"}},
                                  {"type":"function","function":{"name":"f"}}])"),
              StartsWith("tools.1: the name 'f' is there twice"));
}

TEST(ChatRequest, ReadsTheFormatOfTheAnswer) {
  using Kind = OutputFormat::Kind;
  const auto format = [](const std::string& value) {
    return parse("\"response_format\":" + value).generation.output_format;
  };
  EXPECT_EQ(format(R"({"type":"text"})").kind, Kind::kText);
  EXPECT_EQ(format(R"({"type":"json_object"})").kind, Kind::kJsonObject);
  const OutputFormat schema =
      format(R"({"type":"json_schema","json_schema":{"name":"n","schema":{"b":1, "a":2}}})");
  EXPECT_EQ(schema.kind, Kind::kJsonSchema);
  EXPECT_EQ(schema.schema, R"({"b":1, "a":2})");
  EXPECT_THAT(refused(R"("response_format":{"type":"xml"})"), StartsWith("response_format.type: "));
  EXPECT_THAT(refused(R"("response_format":{"type":"json_schema","json_schema":{"name":"n"}})"),
              StartsWith("response_format.json_schema.schema: Field required"));
}

}  // namespace
}  // namespace onnxlocal::openai
