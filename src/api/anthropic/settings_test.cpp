#include "api/anthropic/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/test_requests.h"

namespace onnxlocal::anthropic {
namespace {

using testing::HasSubstr;
using Mode = ThinkingOptions::Mode;

std::string request(const std::string& fields) {
  return R"({"model":"m","max_tokens":2000,"messages":[{"role":"user","content":"hi"}],)" + fields +
         "}";
}

MessagesRequest with(const std::string& fields) { return parse(request(fields)); }

TEST(Thinking, IsAskedForInEachWay) {
  const MessagesRequest enabled =
      with(R"("thinking":{"type":"enabled","budget_tokens":1024,"display":"summarized"})");
  EXPECT_EQ(enabled.generation.thinking.mode, Mode::kEnabled);
  EXPECT_EQ(enabled.generation.thinking.tokens_max, 1024U);
  EXPECT_EQ(enabled.style.thinking_display, ThinkingDisplay::kShown);
  const MessagesRequest adaptive = with(R"("thinking":{"type":"adaptive","display":"omitted"})");
  EXPECT_EQ(adaptive.generation.thinking.mode, Mode::kAdaptive);
  EXPECT_EQ(adaptive.style.thinking_display, ThinkingDisplay::kOmitted);
  EXPECT_EQ(with(R"("thinking":{"type":"disabled"})").generation.thinking.mode, Mode::kDisabled);
  EXPECT_EQ(with(R"("thinking":{"type":"between_tools"})").generation.thinking.mode,
            Mode::kDisabled);
  EXPECT_EQ(with(R"("thinking":null)").generation.thinking.mode, Mode::kDefault);
}

TEST(Thinking, MayTakeMoreThanOneAnswerWhereItIsInterleaved) {
  const std::string text = request(R"("thinking":{"type":"enabled","budget_tokens":9000})");
  EXPECT_THAT(complaint(text), HasSubstr("must be greater than `thinking.budget_tokens`"));
  EXPECT_EQ(parse(text, {.betas = "x,interleaved-thinking-2025-05-14", .read_pdf = {}})
                .generation.thinking.tokens_max,
            9000U);
}

TEST(OutputFormat, KeepsTheClientsOwnSchema) {
  const std::string format = R"({"type":"json_schema","schema":{"type":"object", "b":1.0,"a":2}})";
  const OutputFormat wanted{.kind = OutputFormat::Kind::kJsonSchema,
                            .schema = R"({"type":"object","b":1.0,"a":2})"};
  for (const std::string& fields : {R"("output_config":{"effort":"max","format":)" + format + "}",
                                    "\"output_format\":" + format}) {
    const OutputFormat parsed = with(fields).generation.output_format;
    EXPECT_EQ(parsed.kind, wanted.kind);
    EXPECT_EQ(parsed.schema, wanted.schema);
  }
}

TEST(OutputFormat, GoesNotWithAPrefill) {
  EXPECT_THAT(complaint(R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},
                {"role":"assistant","content":"{"}],
                "output_format":{"type":"json_schema","schema":{}}})"),
              HasSubstr("output_config.format: a trailing assistant message"));
}

TEST(CacheControl, MarksTheMessagesThatItEnds) {
  const auto breakpoints = parse(R"({"model":"m","max_tokens":9,
      "tools":[{"name":"t","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],
      "system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}],
      "messages":[{"role":"user","content":[
        {"type":"text","text":"a","cache_control":{"type":"ephemeral"}},
        {"type":"text","text":"b"}]},
      {"role":"assistant","content":"c"},{"role":"user","content":"d"}],
      "cache_control":{"type":"ephemeral","ttl":"5m"}})")
                               .generation.cache_breakpoints;
  ASSERT_EQ(breakpoints.size(), 4U);
  EXPECT_EQ(breakpoints[0].messages, 0U);
  EXPECT_EQ(breakpoints[1].messages, 1U);
  EXPECT_EQ(breakpoints[1].ttl, std::chrono::hours(1));
  EXPECT_EQ(breakpoints[2].messages, 2U);
  EXPECT_EQ(breakpoints[2].ttl, std::chrono::minutes(5));
  EXPECT_EQ(breakpoints[3].messages, 4U);
}

TEST(CacheControl, SaysHowUsageCounts) {
  EXPECT_EQ(with(R"("cache_control":{"type":"ephemeral","ttl":"1h"})").style.cache_ttl,
            std::chrono::hours(1));
  EXPECT_EQ(with(R"("speed":"fast")").style.cache_ttl, std::chrono::minutes(5));
}

TEST(CacheControl, IsAtMostFourTimesThere) {
  const std::string block = R"({"type":"text","text":"a","cache_control":{"type":"ephemeral"}})";
  const std::string four = block + "," + block + "," + block + "," + block;
  EXPECT_THAT(complaint(request(R"("cache_control":{"type":"ephemeral"},"system":[)" + four + "]")),
              HasSubstr("A maximum of 4 blocks with cache_control may be provided. Found 5."));
}

class MalformedSetting : public testing::TestWithParam<BadRequest> {};

TEST_P(MalformedSetting, IsRefusedByItsPath) {
  EXPECT_THAT(complaint(request(GetParam().fields)), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    EachField, MalformedSetting,
    testing::Values(
        BadRequest{R"("thinking":true)", "thinking: Input should be an object"},
        BadRequest{R"("thinking":{"type":"deep"})", "thinking.type: Input should be 'enabled'"},
        BadRequest{R"("thinking":{"type":"enabled"})", "thinking.budget_tokens: Field required"},
        BadRequest{R"("thinking":{"type":"enabled","budget_tokens":1023})",
                   "thinking.budget_tokens: Input should be greater than or equal to 1024"},
        BadRequest{R"("thinking":{"type":"enabled","budget_tokens":2000})",
                   "max_tokens: `max_tokens` must be greater than `thinking.budget_tokens`"},
        BadRequest{R"("thinking":{"type":"adaptive","display":"all"})",
                   "thinking.display: Input should be 'summarized'"},
        BadRequest{R"("output_config":{"effort":"huge"})", "output_config.effort: Input should be"},
        BadRequest{R"("output_config":{"format":{"type":"json_schema"}})",
                   "output_config.format.schema: Field required"},
        BadRequest{R"("output_config":{"format":{"type":"xml"}})",
                   "output_config.format.type: Input should be 'json_schema'"},
        BadRequest{R"("output_format":{"type":"json_schema","schema":[]})",
                   "output_format.schema: Input should be an object"},
        BadRequest{R"("output_format":{"type":"json_schema","schema":{}},
                      "output_config":{"format":{"type":"json_schema","schema":{}}})",
                   "output_format: it cannot be given beside"},
        BadRequest{R"("cache_control":{"type":"eternal"})",
                   "cache_control.type: Input should be 'ephemeral'"},
        BadRequest{R"("cache_control":{"type":"ephemeral","ttl":"1d"})",
                   "cache_control.ttl: Input should be '5m' or '1h'"},
        BadRequest{R"("metadata":{"user_id":5})", "metadata.user_id: Input should be a valid"}));

}  // namespace
}  // namespace onnxlocal::anthropic
