#include "server/model_aliases.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace onnxlocal {
namespace {

using testing::HasSubstr;

class Aliases : public testing::Test {
 protected:
  std::string resolve(std::string_view requested) {
    const auto found = aliases.resolve(requested, models);
    return found ? (*found)->id : found.error().message;
  }

  void set(const std::vector<std::string>& entries) {
    auto parsed = ModelAliases::parse(entries);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    aliases = *std::move(parsed);
  }

  static anthropic::ModelCard card(std::string id) {
    anthropic::ModelCard made;
    made.id = std::move(id);
    return made;
  }

  ModelAliases aliases;
  std::vector<anthropic::ModelCard> models = {card("onnx-local/first"), card("onnx-local/second")};
};

TEST_F(Aliases, MeanTheFirstModelByAnyClaudeIdWhereNothingElseIsSaid) {
  EXPECT_EQ(resolve("claude-haiku-5-5"), "onnx-local/first");
  EXPECT_EQ(resolve("second"), "onnx-local/second");
  EXPECT_THAT(resolve("gpt-4o"), HasSubstr("gpt-4o"));
}

TEST_F(Aliases, NameModelsAndTheLongestThatFitsCounts) {
  set({"claude-*=second", "claude-opus-*=onnx-local/first", "gpt-4o=second", "team/model=first"});
  EXPECT_EQ(resolve("claude-haiku-5-5"), "onnx-local/second");
  EXPECT_EQ(resolve("claude-opus-5"), "onnx-local/first");
  EXPECT_EQ(resolve("gpt-4o"), "onnx-local/second");
  EXPECT_EQ(resolve("team/model"), "onnx-local/first");
  EXPECT_EQ(resolve("onnx-local/first"), "onnx-local/first");
}

TEST_F(Aliases, SayWhatAnAliasStandsForWhereThatIsNotThere) {
  set({"mine=nobody"});
  EXPECT_THAT(resolve("mine"), HasSubstr("mine is an alias of nobody"));
}

TEST_F(Aliases, HaveANameAndAModel) {
  for (const char* entry : {"", "name", "name=", "=model", "a*b=model"}) {
    EXPECT_FALSE(ModelAliases::parse(std::vector<std::string>{entry}).has_value()) << entry;
  }
  EXPECT_FALSE(ModelAliases::parse(std::vector<std::string>{"a=b", "a=c"}).has_value());
}

}  // namespace
}  // namespace onnxlocal
