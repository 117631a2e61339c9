#include "provider/reply_memory.h"

#include <gtest/gtest.h>

#include "provider/prompt.h"

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;

TEST(ReplyMemory, RecallsAReplyBehindItsOwnPrefixAlone) {
  ReplyMemory memory;
  memory.remember("key", Tokens{1, 2}, "hello", {7, 8});
  EXPECT_EQ(memory.recall("key", Tokens{1, 2}, "hello")->tokens, (Tokens{7, 8}));
  EXPECT_FALSE(memory.recall("key", Tokens{1, 3}, "hello"));
  EXPECT_FALSE(memory.recall("other", Tokens{1, 2}, "hello"));
  EXPECT_FALSE(memory.recall("key", Tokens{1, 2}, "hello!"));
  EXPECT_FALSE(memory.recall("key", Tokens{1, 2}, "hell"));
}

TEST(ReplyMemory, LooksPastWhiteSpaceAtTheEnd) {
  ReplyMemory memory;
  memory.remember("", {}, "hello", {7});
  const auto recalled = memory.recall("", {}, "hello \n");
  ASSERT_TRUE(recalled);
  EXPECT_EQ(recalled->text_bytes, 5U);
}

TEST(ReplyMemory, KeepsNothingEmptyAndNothingTooLarge) {
  ReplyMemory memory(3);
  memory.remember("", {}, "", {1});
  memory.remember("", {}, "a", {});
  memory.remember("", {}, "b", {1, 2, 3, 4});
  EXPECT_EQ(memory.tokens_in_use(), 0U);
}

TEST(ReplyMemory, ForgetsTheLeastRecentlyUsedFirst) {
  ReplyMemory memory(3);
  memory.remember("", {}, "a", {1});
  memory.remember("", {}, "b", {2});
  memory.remember("", {}, "c", {3});
  EXPECT_TRUE(memory.recall("", {}, "a"));
  memory.remember("", {}, "d", {4});
  EXPECT_FALSE(memory.recall("", {}, "b"));
  EXPECT_TRUE(memory.recall("", {}, "a"));
  memory.remember("", {}, "a", {5, 6});
  EXPECT_EQ(memory.tokens_in_use(), 3U);
}

TEST(PromptBuilder, GivesAReplyBackInTheTokensItWasGeneratedIn) {
  const auto tokenizer = *Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
  const PromptBuilder prompts(tokenizer, nullptr, std::nullopt);
  const auto says = [](Role role, std::string text) {
    return Message{.role = role, .content = {TextBlock{.text = std::move(text)}}};
  };
  std::vector<Message> messages{says(Role::kUser, "hi")};
  const auto first = prompts.build(messages, "");
  ASSERT_TRUE(first);
  // Tokens that the tokenizer would never make of this text.
  prompts.remember(*first, "", " yes", Tokens{200, 201});
  messages.push_back(says(Role::kAssistant, " yes"));
  messages.push_back(says(Role::kUser, "so"));
  const auto second = prompts.build(messages, "");
  ASSERT_TRUE(second);
  Tokens expected = first->tokens;
  expected.insert(expected.end(), {200, 201});
  ASSERT_GT(second->tokens.size(), expected.size());
  EXPECT_EQ(Tokens(second->tokens.begin(),
                   second->tokens.begin() + static_cast<std::ptrdiff_t>(expected.size())),
            expected);
}

}  // namespace
}  // namespace onnxlocal
