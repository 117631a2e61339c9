#include "cli/launch_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using testing::HasSubstr;

const std::vector<OfferedModel> kTwo = {{.id = "onnx-local/small", .context_tokens = 8192},
                                        {.id = "onnx-local/large", .context_tokens = 32768}};

TEST(OfferedModels, AreReadFromTheModelsList) {
  const auto models = parse_offered_models(
      R"({"data":[{"type":"model","id":"onnx-local/small","max_input_tokens":8192},
                  {"type":"model","id":"onnx-local/new","max_input_tokens":null}]})");
  ASSERT_TRUE(models);
  ASSERT_EQ(models->size(), 2U);
  EXPECT_EQ(models->front().id, "onnx-local/small");
  EXPECT_EQ(models->front().context_tokens, 8192U);
  EXPECT_EQ(models->back().context_tokens, 0U);
}

TEST(OfferedModels, WhatIsNoListIsAnError) {
  for (const char* body :
       {"", "[]", "{}", R"({"data":1})", R"({"data":[1]})", R"({"data":[{}]})"}) {
    EXPECT_FALSE(parse_offered_models(body)) << body;
  }
}

TEST(OfferedModels, TheFirstIsTakenWhereNoneIsNamed) {
  EXPECT_EQ(choose_offered(kTwo, "")->id, "onnx-local/small");
}

TEST(OfferedModels, AreFoundByNameAndById) {
  EXPECT_EQ(choose_offered(kTwo, "large")->context_tokens, 32768U);
  EXPECT_EQ(choose_offered(kTwo, "onnx-local/large")->context_tokens, 32768U);
}

TEST(OfferedModels, AnErrorNamesThoseThereAre) {
  const auto missing = choose_offered(kTwo, "huge");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().hint, HasSubstr("onnx-local/small, onnx-local/large"));
  EXPECT_FALSE(choose_offered({}, ""));
}

}  // namespace
}  // namespace onnxlocal
