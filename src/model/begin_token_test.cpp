#include "model/begin_token.h"

#include <gtest/gtest.h>

#include "model/test_folder.h"

namespace onnxlocal {
namespace {

TEST(BeginToken, IsAddedAsTheTokenizersSettingsSay) {
  const test::TestFolder folder;
  EXPECT_EQ(adds_bos_token(folder.path()).value(), std::nullopt);
  for (const auto& [text, adds] : {std::pair(R"({"add_bos_token": true})", std::optional(true)),
                                   std::pair(R"({"add_bos_token": false})", std::optional(false)),
                                   std::pair("{}", std::optional<bool>())}) {
    folder.write("tokenizer_config.json", text);
    EXPECT_EQ(adds_bos_token(folder.path()).value(), adds) << text;
  }
  folder.write("tokenizer_config.json", R"({"add_bos_token": "yes"})");
  EXPECT_FALSE(adds_bos_token(folder.path()));
}

}  // namespace
}  // namespace onnxlocal
