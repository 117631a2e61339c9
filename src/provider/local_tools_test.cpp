// Tools, thinking and formats over the fake decoder and the byte tokenizer: what the model "says"
// is scripted, grammars are real.
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file_system.h"
#include "base/json.h"
#include "event_recorder.h"
#include "fake_decoder.h"
#include "provider/local.h"

namespace onnxlocal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::string_view kTurns =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}";
/// The same for a model that thinks, and whose prompt begins the thinking.
const std::string kThinkingTurns =
    std::string(kTurns) +
    "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}{# </think> #}";

constexpr TokenId kImEnd = 258;
constexpr std::uint32_t kBlock = 4;

constexpr std::string_view kCitySchema =
    R"({"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}},)"
    R"( "required": ["city"], "additionalProperties": false})";
/// Distinct items are more than a grammar can hold.
constexpr std::string_view kTagsSchema =
    R"({"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": true}},)"
    R"( "required": ["tags"]})";

std::string text_of(std::span<const TokenId> tokens) {
  std::string text;
  for (const TokenId token : tokens) {
    text += token == 257 ? "<S>" : token == 258 ? "<E>" : std::string(1, static_cast<char>(token));
  }
  return text;
}

/// What a model says next, for what it has said in this turn.
using Script = std::function<std::string(std::string_view said)>;

Script saying(std::string reply) {
  return [reply = std::move(reply)](std::string_view) { return reply; };
}

struct Model {
  explicit Model(Script script, std::string_view chat_template = kTurns,
                 std::shared_future<bool> takes_grammars = {}) {
    FakeDecoderOptions options;
    options.vocabulary_size = 259;
    options.slot_tokens_max = 4000;
    options.block_tokens = kBlock;
    options.scripted_next =
        [script = std::move(script)](std::span<const TokenId> prefix) -> std::optional<TokenId> {
      constexpr std::string_view kTurn = "<S>assistant\n";
      const std::string text = text_of(prefix);
      const std::size_t turn = text.rfind(kTurn);
      if (turn == std::string::npos) return std::nullopt;
      const std::string said = text.substr(turn + kTurn.size());
      const std::string reply = script(said);
      if (said.size() >= reply.size() || !reply.starts_with(said)) return kImEnd;
      return static_cast<unsigned char>(reply[said.size()]);
    };
    LocalParts parts;
    parts.name = "tiny";
    parts.decoder = std::make_unique<FakeDecoder>(std::move(options));
    parts.tokenizer = *Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
    parts.chat_template = *ChatTemplate::compile(chat_template, {});
    parts.takes_grammars = std::move(takes_grammars);
    EngineOptions engine;
    engine.end_tokens = {kImEnd};
    provider = *LocalProvider::from_parts(std::move(parts), std::move(engine));
  }
  Recorded answer(const GenerationRequest& request) const {
    EventRecorder recorder;
    auto active = provider->generate(request, recorder.sink());
    EXPECT_TRUE(active.has_value()) << active.error().message;
    return active ? recorder.wait() : Recorded{};
  }
  std::unique_ptr<LocalProvider> provider;
};

ToolDefinition tool(std::string name, std::string_view schema) {
  ToolDefinition tool;
  tool.name = std::move(name);
  tool.description = "Does it.";
  tool.input_schema = schema;
  return tool;
}

GenerationRequest ask(std::vector<ToolDefinition> tools = {tool("get", kCitySchema)}) {
  GenerationRequest request;
  request.messages = {{.role = Role::kUser, .content = {TextBlock{.text = "Hi"}}}};
  request.tools = std::move(tools);
  request.sampling.temperature = 0.0F;
  request.tokens_max = 400;
  return request;
}

std::string calling(std::string_view name, std::string_view input) {
  std::string text = "<tool_call>\n{\"name\": \"";
  text += name;
  text += "\", \"arguments\": ";
  text += input;
  text += "}\n</tool_call>";
  return text;
}

TEST(LocalTools, GivesTextAndCallsAsEvents) {
  const Model model(saying("Let me see.\n" + calling("get", R"({"city": "Rome"})")));
  const Recorded reply = model.answer(ask());
  EXPECT_EQ(reply.text, "Let me see.");
  ASSERT_THAT(reply.calls, SizeIs(1));
  EXPECT_EQ(reply.calls[0].name, "get");
  EXPECT_EQ(reply.calls[0].input, R"({"city": "Rome"})");
  EXPECT_TRUE(reply.calls[0].id.starts_with("toolu_"));
  EXPECT_EQ(reply.finished->reason, StopReason::kToolUse);
  EXPECT_THAT(reply.violations, SizeIs(0));
}

TEST(LocalTools, LetsTheModelTalkWhereItMay) {
  const Model model(saying("No need for that."));
  const Recorded reply = model.answer(ask());
  EXPECT_EQ(reply.text, "No need for that.");
  EXPECT_EQ(reply.finished->reason, StopReason::kEndOfTurn);
}

TEST(LocalTools, HoldsACallsInputToItsSchema) {
  const Model model(saying(calling("get", R"({"city": "Berlin"})")));
  const Recorded reply = model.answer(ask());
  ASSERT_THAT(reply.calls, SizeIs(1));
  EXPECT_TRUE(reply.calls[0].input == R"({"city": "Paris"})" ||
              reply.calls[0].input == R"({"city": "Rome"})")
      << reply.calls[0].input;
}

TEST(LocalTools, ForcesACallWhereOneIsAskedFor) {
  const Model model(saying("I would rather talk."));
  auto request = ask({tool("get", kCitySchema), tool("set", kCitySchema)});
  request.tool_choice.mode = ToolChoice::Mode::kNamed;
  request.tool_choice.name = "set";
  request.tool_choice.allows_parallel = false;
  const Recorded reply = model.answer(request);
  EXPECT_EQ(reply.text, "");
  ASSERT_THAT(reply.calls, SizeIs(1));
  EXPECT_EQ(reply.calls[0].name, "set");
  EXPECT_EQ(reply.finished->reason, StopReason::kToolUse);
}

TEST(LocalTools, MakesSeveralCallsUnlessToldNotTo) {
  const Model model(saying(calling("get", R"({"city": "Rome"})") + "\n" +
                           calling("get", R"({"city": "Paris"})")));
  auto request = ask();
  EXPECT_THAT(model.answer(request).calls, SizeIs(2));
  request.tool_choice.allows_parallel = false;
  EXPECT_THAT(model.answer(request).calls, SizeIs(1));
}

TEST(LocalTools, MakesNoCallWhereNoneIsWanted) {
  const Model model(saying(calling("get", R"({"city": "Rome"})")));
  auto request = ask();
  request.tool_choice.mode = ToolChoice::Mode::kNone;
  request.tokens_max = 60;
  const Recorded reply = model.answer(request);
  EXPECT_THAT(reply.calls, SizeIs(0));
  EXPECT_THAT(reply.text, Not(HasSubstr("<tool_call>")));
}

TEST(LocalTools, ClosesACallThatTheLimitCutsOff) {
  constexpr std::string_view kSchema =
      R"({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})";
  const Model model(saying(calling("write", R"({"text": "Once upon a time"})")));
  auto request = ask({tool("write", kSchema)});
  for (request.tokens_max = 1; request.tokens_max < 80; ++request.tokens_max) {
    const Recorded reply = model.answer(request);
    EXPECT_EQ(reply.finished->reason, StopReason::kTokensMax);
    for (const auto& call : reply.calls) EXPECT_TRUE(json::parse(call.input)) << call.input;
    EXPECT_EQ(reply.text, "");
  }
}

TEST(LocalTools, TakesStopStringsInTextAlone) {
  const Model model(saying("One STOP two.\n" + calling("get", R"({"city": "Rome"})")));
  auto request = ask();
  request.stop_strings = {"Rome"};
  EXPECT_EQ(model.answer(request).calls.at(0).input, R"({"city": "Rome"})");
  request.stop_strings = {"STOP"};
  const Recorded reply = model.answer(request);
  EXPECT_EQ(reply.text, "One ");
  EXPECT_EQ(reply.finished->reason, StopReason::kStopString);
  EXPECT_EQ(reply.finished->stop_string, "STOP");
}

TEST(LocalTools, RefusesASchemaThatMustHoldAndCannot) {
  const Model model(saying("x"));
  auto request = ask({tool("get", kCitySchema), tool("tag", kTagsSchema)});
  request.tool_choice.mode = ToolChoice::Mode::kAny;
  const auto refused = model.provider->generate(request, [](GenerationEvent) { FAIL(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidRequest);
  EXPECT_THAT(refused.error().message, HasSubstr("tools.1.input_schema.properties.tags"));
}

TEST(LocalTools, TriesOnceMoreWhereAnInputFailsItsSchema) {
  // The second time the model has come to its senses.
  auto times = std::make_shared<std::atomic<int>>(0);
  const std::string begin = "<tool_call>\n{\"name\": \"tag\", \"arguments\": {\"tags\": [1, ";
  const Model model([times, begin](std::string_view said) {
    if (said == begin) ++*times;
    return calling("tag", *times < 2 ? R"({"tags": [1, 1]})" : R"({"tags": [1, 2]})");
  });
  const Recorded reply = model.answer(ask({tool("tag", kTagsSchema)}));
  ASSERT_THAT(reply.calls, SizeIs(1));
  EXPECT_EQ(reply.calls[0].input, R"({"tags": [1, 2]})");
  EXPECT_THAT(reply.finished->warnings, SizeIs(0));
  EXPECT_EQ(reply.finished->reason, StopReason::kToolUse);
}

TEST(LocalTools, DeliversAnInputThatFailedTwiceWithAWarning) {
  const Model model(saying(calling("tag", R"({"tags": [1, 1]})")));
  const Recorded reply = model.answer(ask({tool("tag", kTagsSchema)}));
  ASSERT_THAT(reply.calls, SizeIs(1));
  EXPECT_EQ(reply.calls[0].input, R"({"tags": [1, 1]})");
  ASSERT_THAT(reply.finished->warnings, SizeIs(1));
  EXPECT_THAT(reply.finished->warnings[0], HasSubstr("tag"));
}

/// Two turns of a tool loop; what the second takes from the cache is at least all of the first.
void expect_whole_reuse(const Model& model, GenerationRequest request) {
  const Recorded first = model.answer(request);
  ASSERT_THAT(first.calls, SizeIs(1));
  Message reply{.role = Role::kAssistant, .content = {}};
  if (!first.thinking.empty()) reply.content.emplace_back(ThinkingBlock{.text = first.thinking});
  if (!first.text.empty()) reply.content.emplace_back(TextBlock{.text = first.text});
  // The client writes the same input in its own way.
  const ToolUseBlock call{
      .id = first.calls[0].id, .name = "get", .input = R"({"city":"Ro\u006de"})"};
  reply.content.emplace_back(call);
  request.messages.push_back(std::move(reply));
  const ToolResultBlock result{
      .tool_use_id = call.id, .name = "get", .text = "sunny", .is_error = false};
  request.messages.push_back({.role = Role::kUser, .content = {result}});
  const auto counted = model.provider->count_tokens(request);
  const Recorded second = model.answer(request);
  const std::uint32_t first_turn =
      first.started->prompt_tokens() + first.finished->usage.output_tokens - 1;
  EXPECT_GE(second.started->cache_read_tokens + kBlock, first_turn);
  EXPECT_EQ(second.started->prompt_tokens(), *counted);
}

/// Calls once, whatever the prompt put in front of the reply.
Script calling_after(std::string text) {
  return [text](std::string_view said) {
    constexpr std::string_view kClosed = "<think>\n\n</think>\n\n";
    const std::string front(said.starts_with(kClosed) ? kClosed : "");
    return front + text + calling("get", R"({"city": "Rome"})");
  };
}

std::string template_file(std::string_view name) {
  std::string path = ONNXLOCAL_TEST_DATA "/chat_templates/";
  path += name;
  return read_text_file(path, 1 << 16).value();
}

TEST(LocalTools, ReusesAllOfTheFirstTurnInTheSecond) {
  expect_whole_reuse(Model(calling_after("I see.\n")), ask());
  expect_whole_reuse(Model(calling_after("")), ask());
}

TEST(LocalTools, ReusesItWithTemplatesThatKnowToolsToo) {
  expect_whole_reuse(Model(calling_after("I see.\n"), template_file("qwen2.5.jinja")), ask());
  expect_whole_reuse(Model(calling_after("I see.\n"), template_file("qwen3.jinja")), ask());
  auto thinking = ask();
  thinking.thinking.mode = ThinkingOptions::Mode::kAdaptive;
  expect_whole_reuse(
      Model(calling_after("<think>\nhm\n</think>\n\nI see.\n"), template_file("qwen3.jinja")),
      thinking);
}

TEST(LocalTools, GivesAThinkersHistoryBackWhereItsThinkingIsNotShown) {
  const Model model(calling_after(""), kThinkingTurns);
  expect_whole_reuse(model, ask());
}

TEST(LocalTools, HoldsTextToASchema) {
  const Model model(saying("Sure! Here is your JSON."));
  auto request = ask({});
  request.output_format = {.kind = OutputFormat::Kind::kJsonSchema,
                           .schema = std::string(kCitySchema)};
  const auto parsed = json::parse(model.answer(request).text);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->at("city").is_string());
}

TEST(LocalThinking, ShowsThinkingWhereItIsAskedFor) {
  const Model model(saying("<think>\nHm, let me\nsee.\n</think>\n\nYes."), kThinkingTurns);
  auto request = ask({});
  request.thinking.mode = ThinkingOptions::Mode::kAdaptive;
  const Recorded reply = model.answer(request);
  EXPECT_EQ(reply.thinking, "Hm, let me\nsee.");
  EXPECT_EQ(reply.text, "Yes.");
  EXPECT_GE(reply.finished->usage.thinking_tokens, 15U);
}

TEST(LocalThinking, ClosesWhatTheTemplateOpensWhereNoneIsAskedFor) {
  const Model model(saying("<think>\n\n</think>\n\nYes."), kThinkingTurns);
  const Recorded reply = model.answer(ask({}));
  EXPECT_EQ(reply.thinking, "");
  EXPECT_EQ(reply.text, "Yes.");
}

TEST(LocalThinking, EndsThinkingWhenTheBudgetIsSpent) {
  const Model model(
      [](std::string_view said) {
        return said.contains("</think>")
                   ? std::string(said.substr(0, said.find("</think>"))) + "</think>\n\nYes."
                   : "<think>\n" + std::string(500, 'm');
      },
      kThinkingTurns);
  auto request = ask({});
  request.thinking.mode = ThinkingOptions::Mode::kEnabled;
  request.thinking.tokens_max = 20;
  const Recorded reply = model.answer(request);
  EXPECT_EQ(reply.thinking, std::string(20, 'm'));
  EXPECT_EQ(reply.text, "Yes.");
}

TEST(LocalTools, AreAllThatWaitsForGrammarsTables) {
  std::promise<bool> tables;
  const Model model(saying("Hello"), kTurns, tables.get_future().share());
  EXPECT_EQ(model.answer(ask({})).text, "Hello");
  tables.set_value(false);
  EXPECT_EQ(model.answer(ask()).text, "Hello");
  GenerationRequest forced = ask();
  forced.tool_choice.mode = ToolChoice::Mode::kAny;
  const auto refused = model.provider->generate(forced, [](GenerationEvent) { ADD_FAILURE(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

TEST(LocalThinking, ThinksAndCallsUnderAGrammar) {
  const Model model(saying("<think>\nhm\n</think>\n\n" + calling("get", R"({"city": "Rome"})")),
                    kThinkingTurns);
  auto request = ask();
  request.thinking.mode = ThinkingOptions::Mode::kAdaptive;
  request.tool_choice.mode = ToolChoice::Mode::kAny;
  const Recorded reply = model.answer(request);
  EXPECT_EQ(reply.thinking, "hm");
  EXPECT_THAT(reply.calls, SizeIs(1));
}

TEST(LocalProvider, SaysWhatItsModelCanDo) {
  const ModelInfo plain = Model(saying("x")).provider->models().at(0);
  EXPECT_FALSE(plain.can_think);
  EXPECT_TRUE(plain.calls_tools);
  EXPECT_TRUE(plain.structured_outputs);
  EXPECT_TRUE(Model(saying("x"), kThinkingTurns).provider->models().at(0).can_think);
}

}  // namespace
}  // namespace onnxlocal
