// Grammars of all families compile, take what the family writes and nothing that breaks the rules.
#include <array>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "dialect/dialect.h"
#include "dialect/grammar_text.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace onnxlocal {
namespace {

constexpr std::array<std::string_view, 7> kTemplates{
    "",
    "<|start_header_id|> tools tool_calls parameters",
    "[TOOL_CALLS] [AVAILABLE_TOOLS]",
    "[TOOL_CALLS] [AVAILABLE_TOOLS] [ARGS]",
    "<|tool_call|>",
    "<start_of_turn>",
    "<｜Assistant｜> <｜tool▁calls▁begin｜>"};

constexpr std::string_view kSchema =
    R"({"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"],)"
    R"( "additionalProperties": false, "$defs": {"n": {"type": "integer"}}})";

class ReplyGrammar : public ::testing::TestWithParam<std::string_view> {
 protected:
  ReplyGrammar()
      : tokenizer_(*Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json")),
        dialect_(detect_dialect(GetParam(), [](std::string_view) { return false; })) {
    for (const char* name : {"get", "get_all"}) {
      ToolDefinition tool;
      tool.name = name;
      tool.input_schema = kSchema;
      rules_.tools.push_back(std::move(tool));
    }
  }

  /// Whether the grammar takes all of `reply`, and it may end there.
  bool takes(std::string_view reply) const {
    const std::string text =
        grammar_text(dialect_, rules_, [](std::string_view) { return std::nullopt; });
    const auto grammar = Grammar::from_lark(*tokenizer_, text);
    EXPECT_TRUE(grammar) << grammar.error().message << "\n" << text;
    if (!grammar) return false;
    GrammarMatcher matcher = *(*grammar)->match();
    for (const char byte : reply) {
      if (!matcher.commit(static_cast<unsigned char>(byte))) return false;
    }
    return matcher.is_accepting();
  }

  std::string calls(const std::vector<std::string>& names, std::string_view input) const {
    std::vector<ToolUseBlock> blocks;
    for (const std::string& name : names) {
      blocks.push_back({.id = {}, .name = name, .input = std::string(input)});
    }
    return write_calls(dialect_, blocks);
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  Dialect dialect_;
  ReplyRules rules_;
};

TEST_P(ReplyGrammar, LetsTheModelTalkOrCall) {
  EXPECT_TRUE(takes("Just talk, <b> and \"more\"."));
  EXPECT_TRUE(takes(calls({"get"}, R"({"n": 1})")));
  EXPECT_TRUE(takes(calls({"get_all", "get"}, R"({"n": -20})")));
  EXPECT_FALSE(takes(calls({"get"}, R"({"n": "1"})")));
  EXPECT_FALSE(takes(calls({"put"}, R"({"n": 1})")));
}

TEST_P(ReplyGrammar, LetsTextComeBeforeACall) {
  EXPECT_TRUE(takes("I see.\n" + calls({"get"}, R"({"n": 1})")));
  // Without a mark it is no call, but text.
  const std::string wrong = "I see.\n" + calls({"get"}, R"({"n": true})");
  EXPECT_EQ(takes(wrong), dialect_.calls.may_be_bare);
}

TEST_P(ReplyGrammar, ForcesOneCall) {
  rules_.tool_choice.mode = ToolChoice::Mode::kAny;
  EXPECT_TRUE(takes(calls({"get"}, R"({"n": 1})")));
  EXPECT_FALSE(takes(calls({"get", "get"}, R"({"n": 1})")));
  EXPECT_FALSE(takes("No."));
  rules_.tool_choice.mode = ToolChoice::Mode::kNamed;
  rules_.tool_choice.name = "get_all";
  EXPECT_TRUE(takes(calls({"get_all"}, R"({"n": 1})")));
  EXPECT_FALSE(takes(calls({"get"}, R"({"n": 1})")));
}

TEST_P(ReplyGrammar, HoldsTextToASchemaBesideCalls) {
  rules_.output_format = {.kind = OutputFormat::Kind::kJsonSchema, .schema = std::string(kSchema)};
  EXPECT_TRUE(takes(R"({"n": 7})"));
  EXPECT_TRUE(takes(calls({"get"}, R"({"n": 1})")));
  EXPECT_FALSE(takes(R"({"n": 7.5})"));
  EXPECT_FALSE(takes("seven"));
}

TEST_P(ReplyGrammar, PutsThinkingInFront) {
  dialect_.can_think = true;
  rules_.tool_choice.mode = ToolChoice::Mode::kAny;
  const std::string call = calls({"get"}, R"({"n": 1})");
  const ThinkingSyntax& marks = dialect_.thinking;
  const std::string thought = "\nHm, " + call + "\n" + marks.close + "\n\n" + call;
  rules_.thinking = ReplyRules::Thinking::kOpen;
  EXPECT_TRUE(takes(thought));
  EXPECT_FALSE(takes(call));
  rules_.thinking = ReplyRules::Thinking::kOptional;
  EXPECT_TRUE(takes(marks.open + thought));
  EXPECT_TRUE(takes(call));
  rules_.thinking = ReplyRules::Thinking::kRequired;
  EXPECT_TRUE(takes(marks.open + thought));
  EXPECT_FALSE(takes(call));
}

INSTANTIATE_TEST_SUITE_P(Families, ReplyGrammar, ::testing::ValuesIn(kTemplates),
                         [](const auto& info) { return std::to_string(info.index); });

}  // namespace
}  // namespace onnxlocal
