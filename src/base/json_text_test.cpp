#include "base/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace onnxlocal::json {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string_view member(std::string_view text, std::string_view name) {
  const auto found = TextView(text).member(name);
  return found ? found->text() : std::string_view("none");
}

std::vector<std::string_view> elements(std::string_view text) {
  std::vector<std::string_view> found;
  for (const TextView& element : TextView(text).elements()) found.push_back(element.text());
  return found;
}

TEST(JsonTextView, FindsAMemberAsItWasWritten) {
  const std::string_view text = R"( {"a" : 1.0 ,"b":{ "z":1e3, "a":[1, 2] },"c":"x,}\"]"} )";
  EXPECT_EQ(member(text, "a"), "1.0");
  EXPECT_EQ(member(text, "b"), R"({ "z":1e3, "a":[1, 2] })");
  EXPECT_EQ(member(text, "c"), R"("x,}\"]")");
  EXPECT_EQ(member(text, "z"), "none");
}

TEST(JsonTextView, TakesTheLastOfTwoMembersAsTheParserDoes) {
  const std::string_view text = R"({"a":1,"a":2})";
  EXPECT_EQ(member(text, "a"), "2");
  EXPECT_EQ(parse(text)->at("a"), 2);
}

TEST(JsonTextView, ReadsEscapedNames) { EXPECT_EQ(member(R"({"\u0061\n":true})", "a\n"), "true"); }

TEST(JsonTextView, ListsTheElementsOfAnArray) {
  EXPECT_THAT(elements(R"([ 1, "a]", [2,[3]], {"b":4} ,null])"),
              ElementsAre("1", R"("a]")", "[2,[3]]", R"({"b":4})", "null"));
  EXPECT_THAT(elements("[]"), IsEmpty());
  EXPECT_THAT(elements(R"({"a":1})"), IsEmpty());
}

TEST(JsonTextView, StaysInsideTextThatIsNoJson) {
  for (const char* text : {"", "{", "[", R"({"a)", R"({"a":)", "[1,", R"(["\)", "{1:2}", "]"}) {
    EXPECT_EQ(member(text, "b"), "none") << text;
    EXPECT_LE(elements(text).size(), 1U) << text;
  }
}

TEST(JsonCompact, KeepsKeyOrderAndNumbersAndDropsWhiteSpace) {
  EXPECT_EQ(compact("{ \"b\" : 1.0,\n\t\"a\": [1e3 , -0 ] }"), R"({"b":1.0,"a":[1e3,-0]})");
}

TEST(JsonCompact, GivesOneSpellingToAString) {
  EXPECT_EQ(compact(R"("\u00e9 \/ \u0022")"), compact("\"é / \\\"\""));
  EXPECT_EQ(compact("\"a  b\""), "\"a  b\"");
}

}  // namespace
}  // namespace onnxlocal::json
