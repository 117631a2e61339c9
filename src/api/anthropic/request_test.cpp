#include "api/anthropic/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/test_requests.h"

namespace onnxlocal::anthropic {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(MessagesRequest, ReadsEveryField) {
  const MessagesRequest parsed = parse(R"({"model":"onnx-local/x","max_tokens":7,"stream":true,
    "system":"Be brief.","temperature":0.5,"top_p":0.9,"top_k":40,"stop_sequences":["END","\n#"],
    "messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"},
                {"role":"user","content":"Bye"}]})");
  EXPECT_EQ(parsed.model, "onnx-local/x");
  EXPECT_TRUE(parsed.stream);
  const GenerationRequest& request = parsed.generation;
  EXPECT_EQ(request.tokens_max, 7U);
  EXPECT_FLOAT_EQ(request.sampling.temperature.value(), 0.5F);
  EXPECT_FLOAT_EQ(request.sampling.top_p.value(), 0.9F);
  EXPECT_EQ(request.sampling.top_k, 40U);
  EXPECT_THAT(request.stop_strings, ElementsAre("END", "\n#"));
  EXPECT_THAT(request.messages,
              ElementsAre(message(Role::kSystem, "Be brief."), message(Role::kUser, "Hi"),
                          message(Role::kAssistant, "Hello"), message(Role::kUser, "Bye")));
}

TEST(MessagesRequest, IgnoresWhatItDoesNotKnow) {
  const MessagesRequest parsed = parse(body(
      R"("metadata":{"user_id":"u"},"thinking":{"type":"adaptive"},"future_field":[1,{"a":null}],
         "output_config":{"effort":"high"},"context_management":{"edits":[]},"service_tier":"auto",
         "fallbacks":[{"model":"n"}],"diagnostics":{"previous_message_id":null},"speed":"fast",
         "stop_sequences":null)"));
  EXPECT_THAT(parsed.generation.messages, ElementsAre(message(Role::kUser, "hi")));
}

TEST(MessagesRequest, GivesOneFormToStringsAndBlocks) {
  const auto text = messages(R"([{"role":"user","content":"One"}])", R"(,"system":"S")");
  const auto blocks = messages(
      R"([{"role":"user","content":[{"type":"text","text":"One","citations":null,
           "cache_control":{"type":"ephemeral"}}]}])",
      R"(,"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}])");
  EXPECT_EQ(text, blocks);
}

TEST(MessagesRequest, JoinsBlocksAsParagraphsButAnAssistantsAsOneText) {
  EXPECT_THAT(messages(R"([{"role":"user","content":[{"type":"text","text":"a"},
                                                     {"type":"text","text":"b"}]},
                           {"role":"assistant","content":[{"type":"text","text":"c"},
                                                          {"type":"text","text":"d"}]}])"),
              ElementsAre(message(Role::kUser, "a\n\nb"), message(Role::kAssistant, "cd")));
}

TEST(MessagesRequest, LeavesTheBillingBlockOut) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"q"}])",
                       R"(,"system":[{"type":"text","text":"x-anthropic-billing-header: v=1;"},
                                     {"type":"text","text":"A"},{"type":"text","text":"B"}])"),
              ElementsAre(message(Role::kSystem, "A\n\nB"), message(Role::kUser, "q")));
}

TEST(MessagesRequest, HoistsTheSystemMessageAfterTheFirstQuestion) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"q"},{"role":"system","content":"env"}])",
                       R"(,"system":"S")"),
              ElementsAre(message(Role::kSystem, "S\n\nenv"), message(Role::kUser, "q")));
}

TEST(MessagesRequest, KeepsWhereItPutAMessageOnLaterTurns) {
  const std::string first = R"({"role":"user","content":"q"},{"role":"system","content":"env"})";
  const std::string later = R"(,{"role":"assistant","content":"a"},{"role":"user","content":"r"},
                               {"role":"system","content":"note"})";
  const auto turn1 = messages("[" + first + "]");
  const auto turn2 = messages("[" + first + later + "]");
  ASSERT_EQ(turn2.size(), 4U);
  EXPECT_EQ(std::vector(turn2.begin(), turn2.begin() + 2), turn1);
  EXPECT_EQ(turn2[3], message(Role::kUser, "r\n\n<system-reminder>\nnote\n</system-reminder>"));
}

TEST(MessagesRequest, MergesNeighboursOfOneRole) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"a"},{"role":"user","content":"b"}])"),
              ElementsAre(message(Role::kUser, "a\n\nb")));
}

TEST(MessagesRequest, DropsRedactedThinkingAndWhatIsLeftEmpty) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"a"},
                   {"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]},
                   {"role":"user","content":"b"}])"),
              ElementsAre(message(Role::kUser, "a\n\nb")));
}

TEST(MessagesRequest, LetsATrailingAssistantMessageBeContinued) {
  EXPECT_THAT(messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":"One,"}])"),
              ElementsAre(message(Role::kUser, "a"), message(Role::kAssistant, "One,")));
}

TEST(MessagesRequest, CountTokensNeedsNoTokenLimit) {
  EXPECT_TRUE(parse_messages_request(R"({"model":"m","messages":[{"role":"user","content":"hi"}]})",
                                     RequestKind::kCountTokens)
                  .has_value());
}

TEST(MessagesRequest, TakesHugeTokenLimitsForTheProviderToClamp) {
  EXPECT_EQ(parse(body(R"("max_tokens":32000)")).generation.tokens_max, 32000U);
  EXPECT_EQ(parse(body(R"("max_tokens":99999999999)")).generation.tokens_max, 4294967295U);
}

TEST(MessagesRequest, RefusesThreadsWithTheCodeThatMakesClientsResend) {
  const auto parsed =
      parse_messages_request(body(R"("thread":{"type":"create"})"), RequestKind::kCreate);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().details_code, "thread_unsupported_request");
}

class MalformedRequest : public testing::TestWithParam<BadRequest> {};

TEST_P(MalformedRequest, IsRefusedByItsPath) {
  EXPECT_THAT(complaint(body(GetParam().fields)), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    EachField, MalformedRequest,
    testing::Values(
        BadRequest{R"("model":null)", "model: Field required"},
        BadRequest{R"("model":5)", "model: Input should be a valid string"},
        BadRequest{R"("model":"")", "model: String should have at least 1 character"},
        BadRequest{R"("max_tokens":null)", "max_tokens: Field required"},
        BadRequest{R"("max_tokens":0)", "max_tokens: Input should be greater than or equal to 1"},
        BadRequest{R"("max_tokens":-3)", "max_tokens: Input should be greater than or equal to 1"},
        BadRequest{R"("max_tokens":"5")", "max_tokens: Input should be a valid integer"},
        BadRequest{R"("max_tokens":1.5)", "max_tokens: Input should be a valid integer"},
        BadRequest{R"("temperature":7)", "temperature: Input should be less than or equal to 1"},
        BadRequest{R"("temperature":-0.1)", "temperature: Input should be greater than"},
        BadRequest{R"("temperature":"hot")", "temperature: Input should be a valid number"},
        BadRequest{R"("top_p":1.1)", "top_p: Input should be less than or equal to 1"},
        BadRequest{R"("top_k":-1)", "top_k: Input should be greater than or equal to 0"},
        BadRequest{R"("stream":"yes")", "stream: Input should be a valid boolean"},
        BadRequest{R"("stop_sequences":"x")", "stop_sequences: Input should be a valid list"},
        BadRequest{R"("stop_sequences":["a"," "])", "stop_sequences: each stop sequence must"},
        BadRequest{R"("stop_sequences":[1])", "stop_sequences.0: Input should be a valid string"},
        BadRequest{R"("system":3)", "system: Input should be a valid string"},
        BadRequest{R"("system":[{"type":"image"}])", "system.0: `image` blocks are not"},
        BadRequest{R"("mcp_servers":[{"url":"x"}])", "mcp_servers: this server connects to no"},
        BadRequest{R"("container":{"skills":[]})", "container: this server has no code"}));

INSTANTIATE_TEST_SUITE_P(
    EachMessage, MalformedRequest,
    testing::Values(
        BadRequest{R"("messages":null)", "messages: Field required"},
        BadRequest{R"("messages":{})", "messages: Input should be a valid list"},
        BadRequest{R"("messages":[])", "messages: at least one message is required"},
        BadRequest{R"("messages":[5])", "messages.0: Input should be an object"},
        BadRequest{R"("messages":[{"content":"x"}])", "messages.0.role: Field required"},
        BadRequest{R"("messages":[{"role":"robot","content":"x"}])",
                   "messages.0.role: Input should"},
        BadRequest{R"("messages":[{"role":"user"}])", "messages.0.content: Field required"},
        BadRequest{R"("messages":[{"role":"user","content":5}])",
                   "messages.0.content: Input should"},
        BadRequest{R"("messages":[{"role":"user","content":""}])", "messages.0: all messages must"},
        BadRequest{R"("messages":[{"role":"assistant","content":"x"}])", "first message must use"},
        BadRequest{R"("messages":[{"role":"user","content":[{"text":"x"}]}])",
                   "messages.0.content.0.type: Field required"},
        BadRequest{R"("messages":[{"role":"user","content":[{"type":"text"}]}])",
                   "messages.0.content.0.text: Field required"},
        BadRequest{R"("messages":[{"role":"user","content":[{"type":"hologram"}]}])",
                   "messages.0.content.0: Input tag 'hologram'"},
        BadRequest{R"("messages":[{"role":"user","content":[{"type":"server_tool_use"}]}])",
                   "messages.0.content.0: `server_tool_use` blocks are not supported"},
        BadRequest{R"("messages":[{"role":"user","content":[{"type":"web_search_tool_result"}]}])",
                   "messages.0.content.0: `web_search_tool_result` blocks are not supported"},
        BadRequest{R"("messages":[{"role":"user","content":[{"type":"thinking","thinking":"x"}]}])",
                   "messages.0.content.0: `thinking` blocks cannot be here"},
        BadRequest{R"("messages":[{"role":"user","content":[{"type":"image","source":{}}]}])",
                   "messages.0.content.0: `image` blocks are not supported"}));

TEST(MessagesRequest, TellsWhoAsksAndKeepsItOutOfThePrompt) {
  const MessagesRequest claude_code =
      parse(body(R"("metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"s-1\"}"})"));
  EXPECT_EQ(claude_code.generation.agent, "s-1");
  EXPECT_THAT(claude_code.generation.messages, ElementsAre(message(Role::kUser, "hi")));
  EXPECT_EQ(parse(body(R"("metadata":{"user_id":"u"})")).generation.agent, "u");
  EXPECT_EQ(parse(body(R"("metadata":{})")).generation.agent, "");
}

TEST(MessagesRequest, RepeatsLittleOfWhatItRefuses) {
  const std::string type(1 << 20, 'x');
  EXPECT_LT(complaint(body(R"("messages":[{"role":"user","content":[{"type":")" + type + "\"}]}]"))
                .size(),
            1000U);
}

TEST(MessagesRequest, RefusesWhatIsNoJsonObject) {
  for (const char* text : {"{", "[]", "\"x\"", "", "\xff\xfe{}", "{\"model\":\"m\"} x"}) {
    const auto parsed = parse_messages_request(text, RequestKind::kCreate);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().error.code, ErrorCode::kInvalidRequest) << text;
  }
}

TEST(MessagesRequest, RefusesDeepNesting) {
  EXPECT_NE(complaint("{\"model\":" + std::string(100'000, '[')), "it was accepted");
}

}  // namespace
}  // namespace onnxlocal::anthropic
