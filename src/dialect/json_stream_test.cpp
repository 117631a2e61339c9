#include "dialect/json_stream.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "base/json.h"

namespace onnxlocal {
namespace {

struct Read {
  std::string out;
  std::size_t taken = 0;
  JsonStream::Status status = JsonStream::Status::kOpen;
};

Read read(std::string_view text) {
  JsonStream stream;
  Read result;
  result.taken = stream.push(text, result.out);
  result.status = stream.status();
  return result;
}

std::string cut_off(std::string_view text) {
  JsonStream stream;
  std::string out;
  stream.push(text, out);
  stream.close(out);
  return out;
}

TEST(JsonStream, GivesOnAWholeValueAsItIsWritten) {
  constexpr std::string_view kText = R"({ "b" : [1.50, -2e+3,true ,null],"a":{"x":"\u00e9\n"} })";
  const Read result = read(std::string(kText) + "}, more");
  EXPECT_EQ(result.out, kText);
  EXPECT_EQ(result.taken, kText.size());
  EXPECT_EQ(result.status, JsonStream::Status::kDone);
}

TEST(JsonStream, LeavesWhatComesAfterANumber) {
  EXPECT_EQ(read("12,").taken, 2U);
  EXPECT_EQ(read("12,").out, "12");
}

TEST(JsonStream, IsTheSameInAnyPieces) {
  constexpr std::string_view kText = R"({"a": ["\ud83d\ude00", "x\\", {}, []], "b": {"c": 1.0}})";
  JsonStream stream;
  std::string out;
  for (const char byte : kText) stream.push(std::string_view(&byte, 1), out);
  EXPECT_EQ(out, kText);
  EXPECT_EQ(stream.status(), JsonStream::Status::kDone);
}

TEST(JsonStream, ClosesWhatIsCutOffAnywhere) {
  constexpr std::string_view kText =
      R"({"a": ["x\"\\y\ud83d\ude00", 12.5e3, {"k": [true, null]}], "b": {"c": -1}, "d": ""})";
  for (std::size_t size = 0; size <= kText.size(); ++size) {
    const std::string closed = cut_off(kText.substr(0, size));
    EXPECT_TRUE(json::parse(closed)) << closed;
  }
}

TEST(JsonStream, LeavesOutKeysAndNumbersThatAreCutOff) {
  EXPECT_EQ(cut_off(R"({"a": 1, "bc)"), R"({"a": 1})");
  EXPECT_EQ(cut_off(R"({"a": 1, "b": 12)"), R"({"a": 1})");
  EXPECT_EQ(cut_off(R"({"a": "Par)"), R"({"a": "Par"})");
  EXPECT_EQ(cut_off(""), "{}");
}

TEST(JsonStream, EscapesLineBreaksInStrings) {
  EXPECT_EQ(read("{\"a\": \"x\n\ty\x01\"}").out, R"({"a": "x\n\ty\u0001"})");
}

TEST(JsonStream, ReplacesHalfSurrogatePairs) {
  EXPECT_EQ(read(R"(["\ud83dx"])").out, R"(["\ufffdx"])");
  EXPECT_EQ(read(R"(["\ud83d\n"])").out, R"(["\ufffd\n"])");
  EXPECT_EQ(read(R"(["\ude00"])").out, R"(["\ufffd"])");
  EXPECT_EQ(read(R"(["\ud83d\ud83d\ude00"])").out, R"(["\ufffd\ud83d\ude00"])");
}

TEST(JsonStream, BreaksOffWhereItIsNoJson) {
  for (const std::string_view text :
       {"{a: 1}", "{'a': 1}", R"({"a" 1})", R"({"a": 01})", R"({"a": tru})", R"({"a": 1,})", "[1,]",
        R"(["\x"])", R"(["\u12G4"])", "]", R"({"a": 1])", R"({"a": 1.})", R"({"a": --1})"}) {
    JsonStream stream;
    std::string out;
    stream.push(text, out);
    EXPECT_EQ(stream.status(), JsonStream::Status::kBroken) << text;
    stream.close(out);
    EXPECT_TRUE(json::parse(out)) << out;
  }
}

TEST(JsonStream, BoundsItsDepth) {
  EXPECT_EQ(read(std::string(65, '[')).status, JsonStream::Status::kBroken);
}

}  // namespace
}  // namespace onnxlocal
