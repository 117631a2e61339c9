#include "text/grammar_cache.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "text/test_tokenizer.h"

namespace onnxlocal {
namespace {

using test::byte_tokenizer;

std::string lark_of(int number) { return "start: \"" + std::to_string(number) + "\"\n"; }

TEST(GrammarCache, CompilesATextOnceForEachTokenizerAndKind) {
  GrammarCache cache;
  const auto tokenizer = byte_tokenizer();
  const auto first = cache.from_lark(tokenizer, lark_of(1)).value();
  EXPECT_EQ(cache.from_lark(tokenizer, lark_of(1)).value(), first);
  EXPECT_NE(cache.from_lark(byte_tokenizer(), lark_of(1)).value(), first);
  EXPECT_EQ(cache.from_json_schema(tokenizer, "{}").value(),
            cache.from_json_schema(tokenizer, "{}").value());
  EXPECT_EQ(cache.entries(), 3U);
  EXPECT_GT(cache.size_bytes(), 0U);
}

TEST(GrammarCache, DropsWhatWasUsedLeastRecently) {
  GrammarCache cache({.entries_max = 2, .bytes_max = std::size_t{1} << 30});
  const auto tokenizer = byte_tokenizer();
  const auto first = cache.from_lark(tokenizer, lark_of(1)).value();
  const auto second = cache.from_lark(tokenizer, lark_of(2)).value();
  EXPECT_EQ(cache.from_lark(tokenizer, lark_of(1)).value(), first);
  EXPECT_TRUE(cache.from_lark(tokenizer, lark_of(3)));
  EXPECT_EQ(cache.from_lark(tokenizer, lark_of(1)).value(), first);
  EXPECT_NE(cache.from_lark(tokenizer, lark_of(2)).value(), second);
  EXPECT_EQ(cache.entries(), 2U);
}

TEST(GrammarCache, HoldsNoMoreBytesThanItsLimit) {
  GrammarCache cache({.entries_max = 100, .bytes_max = 1});
  const auto grammar = cache.from_lark(byte_tokenizer(), lark_of(1)).value();
  EXPECT_TRUE(grammar->match());
  EXPECT_EQ(cache.entries(), 0U);
  EXPECT_EQ(cache.size_bytes(), 0U);
}

TEST(GrammarCache, DoesNotKeepErrors) {
  GrammarCache cache;
  EXPECT_FALSE(cache.from_lark(byte_tokenizer(), "start: nowhere"));
  EXPECT_EQ(cache.entries(), 0U);
}

TEST(GrammarCache, IsSharedByThreads) {
  GrammarCache cache({.entries_max = 3, .bytes_max = std::size_t{1} << 30});
  const auto tokenizer = byte_tokenizer();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 20; ++round) {
          EXPECT_TRUE(cache.from_lark(tokenizer, lark_of(round % 5)).value()->match());
        }
      });
    }
  }
  EXPECT_LE(cache.entries(), 3U);
}

}  // namespace
}  // namespace onnxlocal
