#include "api/anthropic/models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/json.h"

namespace onnxlocal::anthropic {
namespace {

using testing::HasSubstr;

std::vector<ModelCard> cards() {
  std::vector<ModelCard> models;
  for (const char* name : {"a", "b", "c"}) {
    models.push_back({.id = std::string("onnx-local/") + name,
                      .display_name = name,
                      .created_at = std::chrono::sys_seconds(std::chrono::seconds(86400)),
                      .context_tokens = 8192,
                      .tokens_max = 4096,
                      .can_think = false});
  }
  return models;
}

json::value list(const ModelPage& page) {
  return json::parse(model_list_body(cards(), page).value()).value();
}

TEST(Models, DescribeThemselves) {
  const auto body = json::parse(model_body(cards()[0])).value();
  EXPECT_EQ(body.at("id"), "onnx-local/a");
  EXPECT_EQ(body.at("type"), "model");
  EXPECT_EQ(body.at("created_at"), "1970-01-02T00:00:00Z");
  EXPECT_EQ(body.at("max_input_tokens"), 8192);
}

TEST(Models, TellWhatTheyCanDo) {
  ModelCard card = cards()[0];
  card.can_think = true;
  const auto able = json::parse(model_body(card))->at("capabilities");
  for (const char* yes : {"batch", "pdf_input", "structured_outputs", "effort", "thinking"}) {
    EXPECT_EQ(able.at(yes).at("supported"), true) << yes;
  }
  for (const char* no : {"citations", "code_execution", "image_input", "context_management"}) {
    EXPECT_EQ(able.at(no).at("supported"), false) << no;
  }
  EXPECT_EQ(able.at("thinking").at("types").at("between_tools").at("supported"), true);
  EXPECT_EQ(able.at("effort").at("xhigh").at("supported"), true);
  EXPECT_EQ(able.at("server_tools").at("web_search").at("supported"), false);
  const auto plain = json::parse(model_body(cards()[0]))->at("capabilities");
  EXPECT_EQ(plain.at("thinking").at("supported"), false);
}

TEST(Models, ComeInPages) {
  const auto first = list({.limit = 2, .after_id = {}, .before_id = {}});
  EXPECT_EQ(first.at("data").get_array().size(), 2U);
  EXPECT_EQ(first.at("has_more"), true);
  EXPECT_EQ(first.at("last_id"), "onnx-local/b");
  const auto rest = list({.limit = 2, .after_id = "onnx-local/b", .before_id = {}});
  EXPECT_EQ(rest.at("data").get_array().size(), 1U);
  EXPECT_EQ(rest.at("has_more"), false);
  const auto back = list({.limit = 1, .after_id = {}, .before_id = "onnx-local/c"});
  EXPECT_EQ(back.at("first_id"), "onnx-local/b");
  EXPECT_EQ(back.at("has_more"), true);
}

TEST(Models, RefuseBadPages) {
  EXPECT_FALSE(parse_model_page("0", {}, {}).has_value());
  EXPECT_FALSE(parse_model_page("ten", {}, {}).has_value());
  EXPECT_FALSE(parse_model_page({}, "a", "b").has_value());
  EXPECT_FALSE(model_list_body(cards(), {.limit = 1, .after_id = "zzz", .before_id = {}}));
  EXPECT_EQ(parse_model_page("1000", {}, {})->limit, 1000U);
}

TEST(Models, AreFoundByEachOfTheirNames) {
  const auto models = cards();
  EXPECT_EQ((*resolve_model("onnx-local/b", models))->id, "onnx-local/b");
  EXPECT_EQ((*resolve_model("b", models))->id, "onnx-local/b");
  EXPECT_EQ((*resolve_model("claude-haiku-5-5", models))->id, "onnx-local/a");
}

TEST(Models, NameThemselvesWhereOneIsUnknown) {
  const auto models = cards();
  const auto found = resolve_model("gpt-9", models);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(describe(found.error()), HasSubstr("onnx-local/c"));
}

}  // namespace
}  // namespace onnxlocal::anthropic
