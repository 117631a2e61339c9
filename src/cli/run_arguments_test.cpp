#include "cli/run_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

bool is_smollm(const std::string& text) { return text == "smollm"; }

Result<RunPlan> plan(std::vector<std::string> positionals, std::optional<std::string> piped = {},
                     std::optional<std::string> model_flag = {}) {
  return plan_run({.positionals = std::move(positionals),
                   .model_flag = std::move(model_flag),
                   .piped = std::move(piped)},
                  is_smollm);
}

TEST(RunArguments, OpenAChatWithTheDefaultModelWhenThereAreNone) {
  EXPECT_EQ(plan({}).value(), (RunPlan{"", std::nullopt}));
}

TEST(RunArguments, TakeOneKnownNameForTheModelAndAnythingElseForThePrompt) {
  EXPECT_EQ(plan({"smollm"}).value(), (RunPlan{"smollm", std::nullopt}));
  EXPECT_EQ(plan({"What is 2+2?"}).value(), (RunPlan{"", "What is 2+2?"}));
}

TEST(RunArguments, TakeTwoForModelAndPrompt) {
  EXPECT_EQ(plan({"other", "Hello"}).value(), (RunPlan{"other", "Hello"}));
}

TEST(RunArguments, TakeThePromptFromAPipeOrAppendIt) {
  EXPECT_EQ(plan({}, "text\n\n").value(), (RunPlan{"", "text\n"}));
  EXPECT_EQ(plan({"Sum up:"}, "text").value(), (RunPlan{"", "Sum up:\n\ntext"}));
  EXPECT_EQ(plan({"smollm"}, "text").value(), (RunPlan{"smollm", "text"}));
  EXPECT_EQ(plan({"Hello"}, "").value(), (RunPlan{"", "Hello"}));
}

TEST(RunArguments, LetTheFlagNameTheModel) {
  EXPECT_EQ(plan({"smollm"}, {}, "x").value(), (RunPlan{"x", "smollm"}));
  EXPECT_FALSE(plan({"a", "b"}, {}, "x"));
}

TEST(RunArguments, RefuseWhatHasNoPrompt) {
  EXPECT_FALSE(plan({}, ""));
  EXPECT_FALSE(plan({}, " \n"));
  EXPECT_FALSE(plan({"smollm"}, ""));
  EXPECT_FALSE(plan({" "}));
  EXPECT_FALSE(plan_run({.positionals = {}, .is_json = true}, is_smollm));
}

TEST(ChatLine, IsWhatTheUserSaysUnlessItBeginsWithASlash) {
  EXPECT_EQ(std::get<ChatSay>(parse_chat_line(" hello \n")).text, "hello");
  EXPECT_EQ(std::get<ChatCommand>(parse_chat_line("  ")), ChatCommand::kNothing);
  EXPECT_EQ(std::get<ChatCommand>(parse_chat_line("/help")), ChatCommand::kHelp);
  EXPECT_EQ(std::get<ChatCommand>(parse_chat_line("/clear")), ChatCommand::kClear);
  EXPECT_EQ(std::get<ChatCommand>(parse_chat_line("/stats")), ChatCommand::kStats);
  EXPECT_EQ(std::get<ChatCommand>(parse_chat_line("/exit")), ChatCommand::kExit);
  EXPECT_EQ(std::get<ChatSystem>(parse_chat_line("/system  Be brief. ")).text, "Be brief.");
  EXPECT_EQ(std::get<ChatSystem>(parse_chat_line("/system")).text, "");
  EXPECT_EQ(std::get<ChatUnknown>(parse_chat_line("/helpme")).command, "/helpme");
}

}  // namespace
}  // namespace onnxlocal
