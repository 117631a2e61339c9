#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace onnxlocal {
namespace {

TEST(Utf8, AcceptsCharactersOfEveryLength) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("aé€😀"));
  EXPECT_TRUE(is_valid_utf8("\xF4\x8F\xBF\xBF"));  // U+10FFFF
  EXPECT_TRUE(is_valid_utf8(std::string_view("\0", 1)));
}

TEST(Utf8, RefusesWhatTheStandardForbids) {
  for (const char* text : {
           "\x80",              // a continuation alone
           "\xC0\xAF",          // a long form of '/'
           "\xE0\x9F\xBF",      // a long form of three bytes
           "\xF0\x8F\xBF\xBF",  // and of four
           "\xED\xA0\x80",      // a surrogate
           "\xF4\x90\x80\x80",  // above U+10FFFF
           "\xF5\x80\x80\x80",
           "\xFF",
           "\xE2\x82",  // cut short
           "\xE2\x28\xA1",
       }) {
    EXPECT_FALSE(is_valid_utf8(text)) << text;
  }
}

TEST(Utf8, TheCompletePrefixLeavesOnlyAnUnfinishedCharacterOut) {
  const std::string text = "é😀";
  EXPECT_EQ(complete_utf8_prefix(text.substr(0, 1)), 0U);
  EXPECT_EQ(complete_utf8_prefix(text.substr(0, 2)), 2U);
  for (std::size_t size = 3; size < 6; ++size) {
    EXPECT_EQ(complete_utf8_prefix(text.substr(0, size)), 2U) << size;
  }
  EXPECT_EQ(complete_utf8_prefix(text), 6U);
  EXPECT_EQ(complete_utf8_prefix(""), 0U);
}

TEST(Utf8, BytesThatCannotBecomeACharacterAreComplete) {
  EXPECT_EQ(complete_utf8_prefix("a\xFF"), 2U);
  EXPECT_EQ(complete_utf8_prefix("a\xC0"), 2U);
  EXPECT_EQ(complete_utf8_prefix("a\xE0\x80"), 3U);
  EXPECT_EQ(complete_utf8_prefix("\x80\x80\x80\x80"), 4U);
}

TEST(Utf8, ReplacesEachMaximalPart) {
  EXPECT_EQ(to_valid_utf8("aé"), "aé");
  EXPECT_EQ(to_valid_utf8("a\xE2\x82"), "a\uFFFD");
  EXPECT_EQ(to_valid_utf8("\xE2\x82z"), "\uFFFDz");
  EXPECT_EQ(to_valid_utf8("\xFF\xFE"), "\uFFFD\uFFFD");
  // Unicode 3.9, table 3-8: a surrogate's three bytes are three parts.
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(to_valid_utf8("\xF0\x9F\x98"), "\uFFFD");
}

TEST(Utf8, WhatWasMendedIsValid) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second), '\x80'};
      const std::string mended = to_valid_utf8(text);
      ASSERT_TRUE(is_valid_utf8(mended)) << first << ' ' << second;
      ASSERT_EQ(mended == text, is_valid_utf8(text)) << first << ' ' << second;
    }
  }
}

}  // namespace
}  // namespace onnxlocal
