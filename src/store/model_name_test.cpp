#include "store/model_name.h"

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

TEST(ModelName, TakesWhatModelsAreCalled) {
  EXPECT_TRUE(is_model_name("smollm2-135m-instruct"));
  EXPECT_TRUE(is_model_name("Qwen2.5_0.5B-Instruct.q4_1"));
  EXPECT_TRUE(is_model_name(std::string(128, 'a')));
}

TEST(ModelName, NeverLeavesTheModelsFolderOrHidesInIt) {
  for (const auto* name : {"", ".", "..", "../x", "a/b", "/etc", ".hidden", "-flag", "a\\b", "a b",
                           "caf\xc3\xa9", "a\n"}) {
    EXPECT_FALSE(is_model_name(name)) << name;
    const auto checked = check_model_name(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidRequest);
  }
  EXPECT_FALSE(is_model_name(std::string(129, 'a')));
  EXPECT_FALSE(is_model_name(std::string_view("a\0b", 3)));
}

TEST(ModelName, ComesFromTheFilesNameInLowerCase) {
  EXPECT_EQ(model_name_from_file("/x/SmolLM2-135M-Instruct.Q4_1.gguf").value(),
            "smollm2-135m-instruct.q4_1");
  EXPECT_EQ(model_name_from_file("My Model (1).gguf").value(), "my-model--1-");
  EXPECT_EQ(model_name_from_file("__init.gguf").value(), "init");
  EXPECT_EQ(model_name_from_file(std::string(300, 'x') + ".gguf").value().size(), 128U);
}

TEST(ModelName, IsRefusedWhereAFilesNameHoldsNone) {
  EXPECT_FALSE(model_name_from_file("---.gguf"));
  EXPECT_FALSE(model_name_from_file(""));
}

TEST(ModelName, LosesThePrefixThatClientsSend) {
  EXPECT_EQ(without_prefix("onnx-local/x"), "x");
  EXPECT_EQ(without_prefix("x"), "x");
  EXPECT_EQ(without_prefix("onnx-local/"), "");
}

}  // namespace
}  // namespace onnxlocal
