#include "text/grammar.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "text/test_tokenizer.h"

namespace onnxlocal {
namespace {

using test::byte_tokenizer;
using test::bytes_of;
using test::kImEnd;
using test::kImStart;

constexpr std::string_view kPerson = R"({"type": "object", "additionalProperties": false,
  "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
  "required": ["name", "age"]})";

GrammarMatcher match(std::string_view schema) {
  return Grammar::from_json_schema(*byte_tokenizer(), schema).value()->match().value();
}

bool allows(GrammarMatcher& matcher, TokenId token) {
  const auto mask = matcher.mask().value();
  return (mask[static_cast<std::size_t>(token) / 32] >> (token % 32) & 1) != 0;
}

/// The first byte of `text` that the grammar does not allow, or its length.
std::size_t accept(GrammarMatcher& matcher, std::string_view text) {
  const auto tokens = bytes_of(text);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!allows(matcher, tokens[i])) {
      EXPECT_FALSE(matcher.commit(tokens[i])) << "mask and commit disagree";
      return i;
    }
    EXPECT_TRUE(matcher.commit(tokens[i]));
  }
  return tokens.size();
}

TEST(Grammar, AllowsWhatTheSchemaDoesAndNothingElse) {
  const std::string valid = R"({"name": "Ada \"é\" 漢", "age": 36})";
  GrammarMatcher matcher = match(kPerson);
  EXPECT_EQ(accept(matcher, valid), valid.size());
  EXPECT_TRUE(matcher.is_accepting());

  for (const auto& [text, refused_at] :
       std::vector<std::pair<std::string, std::size_t>>{{R"([])", 0},
                                                        {R"({"age": 1})", 2},
                                                        {R"({"name": 1})", 9},
                                                        {R"({"name": "x", "age": -1})", 21},
                                                        {R"({"name": "x"})", 12}}) {
    GrammarMatcher other = match(kPerson);
    EXPECT_EQ(accept(other, text), refused_at) << text;
    EXPECT_FALSE(other.is_accepting()) << text;
  }
}

TEST(Grammar, EndsWithAnEndTokenOnceComplete) {
  GrammarMatcher matcher = match(R"({"type": "boolean"})");
  EXPECT_FALSE(allows(matcher, kImEnd));
  EXPECT_EQ(accept(matcher, "true"), 4U);
  EXPECT_TRUE(matcher.is_accepting());
  EXPECT_TRUE(allows(matcher, kImEnd));
  EXPECT_FALSE(allows(matcher, ' '));
  EXPECT_TRUE(matcher.commit(kImEnd));
  EXPECT_TRUE(matcher.is_accepting());
}

TEST(Grammar, ARefusedTokenLeavesTheMatcherAsItWas) {
  GrammarMatcher matcher = match(R"({"type": "boolean"})");
  for (const TokenId token : {TokenId{'x'}, kImEnd, TokenId{-1}, TokenId{1'000'000}}) {
    EXPECT_EQ(matcher.commit(token).error().code, ErrorCode::kInvalidRequest);
  }
  EXPECT_EQ(accept(matcher, "false"), 5U);
}

TEST(Grammar, RollsBackToWhereItWas) {
  GrammarMatcher matcher = match(kPerson);
  EXPECT_EQ(accept(matcher, R"({"name": "x)"), 11U);
  const auto before = matcher.mask().value();
  EXPECT_EQ(accept(matcher, R"(", "age": 1})"), 12U);
  EXPECT_TRUE(matcher.commit(kImEnd));
  EXPECT_TRUE(matcher.rollback(13));
  EXPECT_EQ(matcher.mask().value(), before);
  EXPECT_FALSE(matcher.is_accepting());
  EXPECT_EQ(accept(matcher, R"(yz", "age": 23})"), 15U);
  EXPECT_TRUE(matcher.is_accepting());
  EXPECT_FALSE(matcher.rollback(1000));
}

TEST(Grammar, MatchersOfOneGrammarAreIndependent) {
  const auto grammar = Grammar::from_json_schema(*byte_tokenizer(), kPerson).value();
  GrammarMatcher first = grammar->match().value();
  EXPECT_EQ(accept(first, R"({"name)"), 6U);
  GrammarMatcher second = grammar->match().value();
  EXPECT_TRUE(allows(second, '{'));
  EXPECT_FALSE(allows(first, '{') && !allows(first, 'x'));
}

TEST(Grammar, WhatCannotBeEnforcedIsAnError) {
  for (const std::string schema :
       {"", "{", "3", R"({"type": "nonsense"})", R"({"type": "string", "pattern": "(?=a)b"})",
        R"({"$ref": "#/nowhere"})"}) {
    const auto grammar = Grammar::from_json_schema(*byte_tokenizer(), schema);
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::kInvalidRequest) << grammar.error().message;
  }
}

GrammarMatcher match_lark(std::string_view lark) {
  return Grammar::from_lark(*byte_tokenizer(), lark).value()->match().value();
}

TEST(Grammar, LarkHoldsTextSchemasAndSpecialTokens) {
  const std::string call = R"(<tool_call>{"name": "n", "arguments": {"name": "x", "age": 3}})";
  GrammarMatcher matcher = match_lark(fmt::format(
      R"(start: TEXT "<tool_call>" body <|im_start|>
TEXT: /[^<]*/
body: "{{\"name\": \"n\", \"arguments\": " args "}}"
args: %json {}
)",
      kPerson));
  EXPECT_EQ(accept(matcher, "I say: "), 7U);
  EXPECT_EQ(accept(matcher, call), call.size());
  EXPECT_FALSE(matcher.is_accepting());
  EXPECT_FALSE(allows(matcher, 'x'));
  EXPECT_FALSE(allows(matcher, kImEnd));
  EXPECT_TRUE(allows(matcher, kImStart));
  EXPECT_TRUE(matcher.commit(kImStart));
  EXPECT_TRUE(matcher.is_accepting());
  EXPECT_TRUE(matcher.commit(kImEnd));
}

TEST(Grammar, SpecialTokensAreNamedByIdToo) {
  GrammarMatcher matcher = match_lark("start: <[257]> \"a\"\n");
  EXPECT_TRUE(allows(matcher, kImStart));
  EXPECT_FALSE(allows(matcher, 'a'));
  EXPECT_TRUE(matcher.commit(kImStart));
  EXPECT_EQ(accept(matcher, "a"), 1U);
}

TEST(Grammar, WhatIsNoGrammarIsAnError) {
  std::string deep = "start: ";
  deep.append(100'000, '(');
  std::string wide = "start: a\na: \"x\"";
  for (int i = 0; i < 300'000; ++i) wide += "|\"y\" a";
  for (const std::string& lark :
       {std::string(), std::string("start: nowhere\n"), std::string("start: <|nowhere|>\n"),
        std::string("start: <[999999]>\n"), std::string("start: /(/\n"),
        std::string("start: %json {\"type\": \"nonsense\"}\n"),
        std::string("start: %json {\"$ref\": \"https://example.com\"}\n"), deep, wide}) {
    const auto grammar = Grammar::from_lark(*byte_tokenizer(), lark);
    ASSERT_FALSE(grammar) << lark.substr(0, 100);
    EXPECT_EQ(grammar.error().code, ErrorCode::kInvalidRequest) << grammar.error().message;
  }
  EXPECT_EQ(Grammar::from_lark(*byte_tokenizer(), std::string(5 << 20, ' ')).error().code,
            ErrorCode::kTooLarge);
}

TEST(Grammar, CompilesOnManyThreadsAtOnce) {
  const auto tokenizer = byte_tokenizer();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        auto matcher = Grammar::from_json_schema(*tokenizer, kPerson).value()->match().value();
        EXPECT_EQ(accept(matcher, R"({"name": "x", "age": 3})"), 23U);
      }
    });
  }
}

TEST(Grammar, MasksCoverTheWholeVocabulary) {
  GrammarMatcher matcher = match("{}");
  EXPECT_EQ(matcher.mask().value().size(), (259U + 31) / 32);
}

}  // namespace
}  // namespace onnxlocal
