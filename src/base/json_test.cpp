#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace onnxlocal::json {
namespace {

using testing::HasSubstr;

TEST(Json, ReadsEveryKindOfValueAndKeepsTheOrderOfKeys) {
  const auto parsed = parse(R"( {"z":1,"a":[-2.5,true,null],"é":"\u00e9\n"} )");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(serialize(*parsed), "{\"z\":1,\"a\":[-2.5E0,true,null],\"é\":\"é\\n\"}");
}

TEST(Json, SaysWhereTheTextIsWrong) {
  const auto parsed = parse("{\"a\": tru}");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidRequest);
  EXPECT_THAT(parsed.error().message, HasSubstr("at byte 6"));
}

TEST(Json, RefusesWhatStrictJsonDoesNotHave) {
  for (const char* text : {"", " ", "nul", "[1,]", "{a:1}", "{'a':1}", "[1] x", "// c\n1", "NaN",
                           "Infinity", "01", "\"\t\"", "\"\\ud800\"", "\"\xff\"", "[\x01]"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
}

TEST(Json, RefusesANumberThatCannotBeHeld) {
  EXPECT_FALSE(parse("1e999"));
  EXPECT_FALSE(parse(R"({"a":[1,{"b":-1e400}]})"));
  EXPECT_TRUE(parse("1e308"));
  EXPECT_TRUE(parse("1e-999"));
  EXPECT_TRUE(parse("123456789012345678901234567890"));
}

TEST(Json, LimitsTheDepth) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(parse(nested(64)));
  const auto deeper = parse(nested(65));
  ASSERT_FALSE(deeper);
  EXPECT_EQ(deeper.error().code, ErrorCode::kInvalidRequest);
  EXPECT_TRUE(parse(nested(65), {.depth_max = 100}));
  EXPECT_FALSE(parse(std::string(8'000'000, '[')));
}

TEST(Json, LimitsTheSize) {
  EXPECT_TRUE(parse("[1]", {.bytes_max = 3}));
  const auto larger = parse("[12]", {.bytes_max = 3});
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().code, ErrorCode::kTooLarge);
}

TEST(Json, TheLastOfEqualKeysCounts) {
  const auto parsed = parse(R"({"a":1,"a":2})");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(serialize(*parsed), R"({"a":2})");
}

TEST(Json, APointerIntoTheSourceIsNotKept) {
  Result<value> parsed;
  {
    const std::string text = R"(["a text that is longer than a small string"])";
    parsed = parse(text);
  }
  ASSERT_TRUE(parsed);
  EXPECT_EQ(serialize(*parsed), R"(["a text that is longer than a small string"])");
}

}  // namespace
}  // namespace onnxlocal::json
