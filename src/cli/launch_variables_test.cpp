#include "cli/launch_variables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace onnxlocal {
namespace {

using testing::ElementsAre;

std::map<std::string, std::optional<std::string>> variables_of(const ClaudeTarget& target) {
  std::map<std::string, std::optional<std::string>> result;
  for (const auto& change : claude_variables(target)) result[change.name] = change.value;
  return result;
}

TEST(LaunchVariables, NameTheServerAndTheModelForEveryRole) {
  const auto found = variables_of(
      {.url = "http://127.0.0.1:3001", .model = "onnx-local/small", .context_tokens = 32768});
  EXPECT_EQ(found.at("ANTHROPIC_BASE_URL"), "http://127.0.0.1:3001");
  for (const char* name : {"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL",
                           "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL"}) {
    EXPECT_EQ(found.at(name), "onnx-local/small") << name;
  }
  EXPECT_EQ(found.at("ANTHROPIC_AUTH_TOKEN"), "local");
  EXPECT_EQ(found.at("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"), "1");
  EXPECT_EQ(found.at("CLAUDE_CODE_ATTRIBUTION_HEADER"), "0");
}

TEST(LaunchVariables, TheWindowIsTheModelsOwn) {
  const auto found = variables_of({.url = "", .model = "m", .context_tokens = 8192});
  EXPECT_EQ(found.at("CLAUDE_CODE_MAX_CONTEXT_TOKENS"), "8192");
  EXPECT_EQ(found.at("CLAUDE_CODE_MAX_OUTPUT_TOKENS"), "2048");
}

TEST(LaunchVariables, ToolsAreDeclaredAtOnceWhereThereIsRoom) {
  EXPECT_EQ(
      variables_of({.url = "", .model = "m", .context_tokens = 32768}).at("ENABLE_TOOL_SEARCH"),
      "true");
  EXPECT_EQ(
      variables_of({.url = "", .model = "m", .context_tokens = 131072}).at("ENABLE_TOOL_SEARCH"),
      "false");
}

TEST(LaunchVariables, OnlyALargeWindowHoldsTheDefaultPrompt) {
  EXPECT_FALSE(fits_default_prompt(8192));
  EXPECT_TRUE(fits_default_prompt(32768));
}

TEST(LaunchVariables, WhatLeadsPastTheServerIsTakenAway) {
  const auto found = variables_of({.url = "u", .model = "m", .context_tokens = 8192});
  for (const char* name : {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX",
                           "CLAUDE_CODE_OAUTH_TOKEN"}) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_FALSE(found.at(name)) << name;
  }
}

TEST(LaunchVariables, AProxyIsPassedBy) {
  const ClaudeTarget target{
      .url = "u", .model = "m", .context_tokens = 8192, .no_proxy = "intranet"};
  EXPECT_EQ(variables_of(target).at("NO_PROXY"), "intranet,127.0.0.1,localhost");
}

TEST(LaunchVariables, ShellLinesAreQuoted) {
  const std::vector<VariableChange> changes = {{"A", "it's $HOME"}, {"B", std::nullopt}};
  EXPECT_EQ(to_shell_lines(changes), "export A='it'\\''s $HOME'\nunset B\n");
}

TEST(LaunchVariables, TheEnvironmentKeepsWhatIsNotChanged) {
  const std::vector<std::string> current = {"PATH=/bin", "ANTHROPIC_API_KEY=real", "X=1=2", "NO"};
  const std::vector<VariableChange> changes = {
      {"ANTHROPIC_API_KEY", std::nullopt}, {"ANTHROPIC_MODEL", "m"}, {"X", "3"}};
  EXPECT_THAT(changed_environment(current, changes),
              ElementsAre("PATH=/bin", "NO", "ANTHROPIC_MODEL=m", "X=3"));
}

}  // namespace
}  // namespace onnxlocal
