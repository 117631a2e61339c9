#include "dialect/grammar_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dialect/canonical_json.h"

namespace onnxlocal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Dialect dialect_of(std::string_view source) {
  return detect_dialect(source, [&](std::string_view token) { return source.contains(token); });
}

std::string grammar(const Dialect& dialect, const ReplyRules& rules,
                    std::optional<TokenId> special = std::nullopt) {
  return grammar_text(dialect, rules, [&](std::string_view) { return special; });
}

ReplyRules rules_for(std::vector<std::string> names) {
  ReplyRules rules;
  for (std::string& name : names) {
    ToolDefinition tool;
    tool.name = std::move(name);
    tool.input_schema = R"({"type": "object"})";
    rules.tools.push_back(std::move(tool));
  }
  return rules;
}

TEST(GrammarText, IsEmptyWhereAReplyIsFree) { EXPECT_EQ(grammar(dialect_of(""), {}), ""); }

TEST(GrammarText, LetsTheModelTalkOrCallUnlessAnythingIsForced) {
  ReplyRules rules = rules_for({"get"});
  EXPECT_THAT(grammar(dialect_of(""), rules), HasSubstr("reply: TEXT | head calls"));
  rules.tool_choice.mode = ToolChoice::Mode::kAny;
  EXPECT_THAT(grammar(dialect_of(""), rules), HasSubstr("reply: SPACE \"<tool_call>\" calls"));
}

TEST(GrammarText, ForcesOneCallAndLetsTheModelMakeMore) {
  ReplyRules rules = rules_for({"get"});
  EXPECT_THAT(grammar(dialect_of(""), rules), HasSubstr(" call){0,"));
  rules.tool_choice.mode = ToolChoice::Mode::kAny;
  EXPECT_THAT(grammar(dialect_of(""), rules), Not(HasSubstr(" call){0,")));
}

TEST(GrammarText, HasTheNamedToolAlone) {
  ReplyRules rules = rules_for({"get", "set"});
  rules.tool_choice.mode = ToolChoice::Mode::kNamed;
  rules.tool_choice.name = "set";
  const std::string text = grammar(dialect_of(""), rules);
  EXPECT_THAT(text, HasSubstr(R"({\"name\": \"set\", \"arguments\": )"));
  EXPECT_THAT(text, Not(HasSubstr(R"(\"get\")")));
}

TEST(GrammarText, WritesMarksAsTokensWhereTheyAreSpecial) {
  EXPECT_THAT(grammar(dialect_of(""), rules_for({"get"}), 7), HasSubstr("TEXT ( <[7]> calls)?"));
}

TEST(GrammarText, WritesCallsAsEachFamilyDoes) {
  const ReplyRules rules = rules_for({"get"});
  EXPECT_THAT(grammar(dialect_of("<|start_header_id|>"), rules),
              HasSubstr(R"({"name": {"const": "get"}, "parameters": {"type": "object"}})"));
  EXPECT_THAT(grammar(dialect_of("[TOOL_CALLS] [ARGS]"), rules), HasSubstr("\"get[ARGS]\""));
  EXPECT_THAT(grammar(dialect_of("<|tool_call|>"), rules), HasSubstr("]<|/tool_call|>"));
  EXPECT_THAT(grammar(dialect_of("<｜Assistant｜> <｜tool▁calls▁begin｜>"), rules),
              HasSubstr("get\\n```json\\n"));
}

TEST(GrammarText, PutsThinkingFirst) {
  Dialect dialect = dialect_of("</think>");
  ReplyRules rules = rules_for({"get"});
  rules.thinking = ReplyRules::Thinking::kOpen;
  EXPECT_THAT(grammar(dialect, rules), HasSubstr("start: thoughts reply\n"));
  rules.thinking = ReplyRules::Thinking::kOptional;
  EXPECT_THAT(grammar(dialect, rules), HasSubstr("start: think thoughts reply | reply\n"));
}

TEST(GrammarText, OverrulesHowAClientsSchemaSaysItIsWritten) {
  ReplyRules rules;
  rules.output_format = {.kind = OutputFormat::Kind::kJsonSchema,
                         .schema = R"({"x-guidance": {"lenient": true}})"};
  const std::string text = grammar(dialect_of(""), rules);
  EXPECT_GT(text.rfind("\"whitespace_flexible\": false"), text.find("lenient"));
}

TEST(CanonicalJson, IsTheSameForTheSameValue) {
  EXPECT_EQ(canonical_json(R"({"b": 1.0, "a": [1e2, "\u00e9"]})"),
            canonical_json(R"({"a":[100,"é"],"b":1})"));
  EXPECT_NE(canonical_json(R"({"a": 1})"), canonical_json(R"({"a": 1.5})"));
  EXPECT_EQ(canonical_json("no json"), "no json");
}

TEST(Dialect, WritesToolsCallsAndResultsAsText) {
  ToolDefinition get;
  get.name = "get";
  get.input_schema = R"({"z": 1, "a": 2})";
  ToolDefinition deferred = get;
  deferred.name = "later";
  deferred.is_listed = false;
  ToolUseBlock call;
  call.name = "get";
  call.input = R"({"x":1.0})";
  ToolResultBlock result;
  result.text = "no";
  result.is_error = true;
  const auto text_of = [](const Message& message) {
    return std::get<TextBlock>(message.content.back()).text;
  };
  const auto written = with_tools_as_text(
      dialect_of(""),
      {{.role = Role::kAssistant, .content = {call}}, {.role = Role::kUser, .content = {result}}},
      {get, deferred});
  ASSERT_EQ(written.size(), 3U);
  EXPECT_EQ(written[0].role, Role::kSystem);
  EXPECT_THAT(text_of(written[0]), HasSubstr(R"("parameters": {"z": 1, "a": 2})"));
  EXPECT_THAT(text_of(written[0]), Not(HasSubstr("later")));
  EXPECT_EQ(text_of(written[1]),
            "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\":1.0}}\n</tool_call>");
  EXPECT_EQ(text_of(written[2]), "<tool_response>\nError: no\n</tool_response>");
}

}  // namespace
}  // namespace onnxlocal
