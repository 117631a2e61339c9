#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/model_config.h"
#include "model/test_folder.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::HasSubstr;

TEST(ChatTemplateSource, IsEmptyWhereTheModelHasNone) {
  const TestFolder folder;
  const auto found = read_chat_template(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "");
  EXPECT_EQ(found->bos_token, "");
}

TEST(ChatTemplateSource, ComesFromItsOwnFileFirst) {
  const TestFolder folder;
  folder.write("chat_template.jinja", "own");
  folder.write("tokenizer_config.json",
               R"({"chat_template": "other", "bos_token": "<s>", "eos_token": null})");
  const auto found = read_chat_template(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "own");
  EXPECT_EQ(found->bos_token, "<s>");
  EXPECT_EQ(found->eos_token, "");
}

TEST(ChatTemplateSource, ComesFromTheTokenizerConfig) {
  const TestFolder folder;
  folder.write(
      "tokenizer_config.json",
      R"({"chat_template": "{{ x }}", "eos_token": {"content": "</s>", "lstrip": false}})");
  const auto found = read_chat_template(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "{{ x }}");
  EXPECT_EQ(found->eos_token, "</s>");
}

TEST(ChatTemplateSource, OfSeveralIsTheDefaultOne) {
  const TestFolder folder;
  folder.write("tokenizer_config.json",
               R"({"chat_template": [{"name": "rag", "template": "r"},
                                     {"name": "default", "template": "d"}]})");
  const auto found = read_chat_template(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "d");
}

TEST(ChatTemplateSource, ErrorsNameTheFile) {
  const TestFolder folder;
  folder.write("tokenizer_config.json", R"({"chat_template": 7})");
  const auto found = read_chat_template(folder.path());
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("tokenizer_config.json: `chat_template`: expected"));
}

}  // namespace
}  // namespace onnxlocal
