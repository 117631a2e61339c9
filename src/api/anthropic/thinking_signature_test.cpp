#include "api/anthropic/thinking_signature.h"

#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/test_requests.h"

namespace onnxlocal::anthropic {
namespace {

std::string thought(const std::string& thinking, const std::string& signature) {
  const auto parsed = messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":[
      {"type":"thinking","thinking":")" +
                               thinking + R"(","signature":")" + signature + R"("},
      {"type":"text","text":"b"}]}])");
  const auto* block = std::get_if<ThinkingBlock>(&parsed.at(1).content.at(0));
  return block == nullptr ? "none" : block->text;
}

TEST(ThinkingSignature, CarriesTheText) {
  for (const std::string text : {"", "hmm", "日本 \n\"quoted\""}) {
    EXPECT_EQ(text_of_signature(thinking_signature(text)), text);
  }
}

TEST(ThinkingSignature, IsNotReadWhereItIsForeignOrDamaged) {
  std::string damaged = thinking_signature("a long enough thought");
  damaged[damaged.size() / 2 + 4] ^= 1;
  for (const std::string& text : {damaged, std::string("abc"), std::string(),
                                  std::string("ErUBCkYIAxgCIkD=="), damaged.substr(0, 12)}) {
    EXPECT_EQ(text_of_signature(text), std::nullopt) << text;
  }
}

TEST(ThinkingSignature, GivesOmittedThinkingBackToTheHistory) {
  EXPECT_EQ(thought("", thinking_signature("deep")), "deep");
  EXPECT_EQ(thought("deep", thinking_signature("deep")), "deep");
}

TEST(ThinkingSignature, MayBeForeign) {
  EXPECT_EQ(thought("theirs", "EqoBCkgIARABGAI"), "theirs");
  EXPECT_EQ(thought("", "EqoBCkgIARABGAI"), "none");
}

}  // namespace
}  // namespace onnxlocal::anthropic
