#include "provider/reply_memory.h"

#include <gtest/gtest.h>

#include "dialect/dialect.h"
#include "provider/prompt.h"

namespace onnxlocal {
namespace {

using Tokens = std::vector<TokenId>;

ReplyMemory::Reply reply(std::string said, Tokens tokens) {
  ReplyMemory::Reply kept;
  kept.content.said = std::move(said);
  kept.opening = "assistant:";
  kept.tokens = std::move(tokens);
  return kept;
}

std::vector<ReplyContent> said(std::string text) {
  ReplyContent content;
  content.said = std::move(text);
  return {content};
}

std::optional<ReplyMemory::Recalled> recall(ReplyMemory& memory, const Tokens& prefix,
                                            std::string text) {
  return memory.recall("key", prefix, "assistant: something", said(std::move(text)));
}

Message says(Role role, std::string text) {
  return {.role = role, .content = {TextBlock{.text = std::move(text)}}};
}

TEST(ReplyMemory, RecallsAReplyBehindItsOwnPrefixAlone) {
  ReplyMemory memory;
  memory.remember("key", Tokens{1, 2}, reply("hello", {7, 8}));
  EXPECT_EQ(recall(memory, {1, 2}, "hello")->tokens, (Tokens{7, 8}));
  EXPECT_FALSE(recall(memory, {1, 3}, "hello"));
  EXPECT_FALSE(recall(memory, {1, 2}, "hello!"));
  EXPECT_FALSE(memory.recall("other", Tokens{1, 2}, "assistant: x", said("hello")));
  EXPECT_FALSE(memory.recall("key", Tokens{1, 2}, "user: x", said("hello")));
}

TEST(ReplyMemory, FindsOneOfTheRepliesThatTheHistoryHas) {
  ReplyMemory memory;
  memory.remember("key", Tokens{1}, reply("b", {7}));
  std::vector<ReplyContent> history = said("a");
  history.push_back(said("b").front());
  EXPECT_EQ(memory.recall("key", Tokens{1}, "assistant:", history)->index, 1U);
}

TEST(ReplyMemory, HeedsThinkingThatCameBackOrDidNot) {
  ReplyMemory memory;
  auto thought = reply("x", {7});
  thought.content.thinking = "hm";
  memory.remember("key", {}, thought);
  auto asked = said("x");
  EXPECT_FALSE(memory.recall("key", {}, "assistant:", asked));
  asked.front().thinking = "hm";
  EXPECT_TRUE(memory.recall("key", {}, "assistant:", asked));
  asked.front().thinking = "";
  EXPECT_TRUE(memory.recall("key", {}, "assistant:", asked));
  asked.front().thinking = "other";
  EXPECT_FALSE(memory.recall("key", {}, "assistant:", asked));
}

TEST(ReplyMemory, KeepsNothingEmptyAndNothingTooLarge) {
  ReplyMemory memory(3);
  memory.remember("", {}, reply("", {1}));
  memory.remember("", {}, reply("a", {}));
  memory.remember("", {}, reply("b", {1, 2, 3, 4}));
  EXPECT_EQ(memory.tokens_in_use(), 0U);
}

TEST(ReplyMemory, ForgetsTheLeastRecentlyUsedFirst) {
  ReplyMemory memory(3);
  memory.remember("key", {}, reply("a", {1}));
  memory.remember("key", {}, reply("b", {2}));
  memory.remember("key", {}, reply("c", {3}));
  EXPECT_TRUE(recall(memory, {}, "a"));
  memory.remember("key", {}, reply("d", {4}));
  EXPECT_FALSE(recall(memory, {}, "b"));
  EXPECT_TRUE(recall(memory, {}, "a"));
  memory.remember("key", {}, reply("a", {5, 6}));
  EXPECT_EQ(memory.tokens_in_use(), 3U);
}

TEST(ReplyMemory, ComparesCallsByContentAndNotByForm) {
  const auto call = [](std::string input) {
    return Message{.role = Role::kAssistant,
                   .content = {ToolUseBlock{.id = "toolu_1", .name = "f", .input = input}}};
  };
  const auto said = content_of(call(R"({"a": 1.0, "b": [true, "é"]})")).said;
  EXPECT_EQ(said, content_of(call(R"({"b":[true,"\u00e9"],"a":1})")).said);
  EXPECT_NE(said, content_of(call(R"({"b":[true,"e"],"a":1})")).said);
}

TEST(PromptBuilder, GivesAReplyBackInTheTokensItWasGeneratedIn) {
  const auto tokenizer = *Tokenizer::load(ONNXLOCAL_TEST_DATA "/byte_tokenizer.json");
  PromptBuilder::Options options;
  options.dialect =
      std::make_shared<const Dialect>(detect_dialect("", [](std::string_view) { return false; }));
  const PromptBuilder prompts(tokenizer, options);
  std::vector<Message> messages{says(Role::kUser, "hi")};
  const auto first = prompts.build({.messages = messages});
  ASSERT_TRUE(first);
  // Tokens that the tokenizer would never make of this text.
  prompts.remember(*first, "", says(Role::kAssistant, " yes"), Tokens{200, 201});
  messages.push_back(says(Role::kAssistant, " yes"));
  messages.push_back(says(Role::kUser, "so"));
  const auto second = prompts.build({.messages = messages});
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
