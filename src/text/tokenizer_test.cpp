// Over the byte tokenizer of tests/data: token i is byte i, 256 to 258 are special.
#include "text/tokenizer.h"

#include <string>

#include <gtest/gtest.h>

#include "base/file_system.h"
#include "base/utf8.h"

namespace onnxlocal {
namespace {

constexpr TokenId kImStart = 257;
constexpr TokenId kImEnd = 258;

std::string test_data(const std::string& name) {
  return std::string(ONNXLOCAL_TEST_DATA) + "/" + name;
}

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  return Tokenizer::load(test_data("byte_tokenizer.json")).value();
}

/// Each byte of `text` as the byte tokenizer's token.
std::vector<TokenId> bytes_of(std::string_view text) {
  std::vector<TokenId> tokens;
  for (const char byte : text) {
    tokens.push_back(static_cast<unsigned char>(byte));
  }
  return tokens;
}

std::string stream_all(const Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  TokenStream stream = tokenizer.stream();
  std::string text;
  for (const TokenId token : tokens) {
    const std::string piece = stream.push(token).value();
    EXPECT_TRUE(is_valid_utf8(piece));
    text += piece;
  }
  return text + stream.finish().value();
}

TEST(Tokenizer, EncodesTextAsItsBytes) {
  EXPECT_EQ(byte_tokenizer()->encode("aé\n", SpecialTokens::kAsText).value(), bytes_of("aé\n"));
  EXPECT_TRUE(byte_tokenizer()->encode("", SpecialTokens::kAsText).value().empty());
}

TEST(Tokenizer, ParsesSpecialTokensOnlyWhereAsked) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(tokenizer->encode("<|im_start|><|im_end|>", SpecialTokens::kParsed).value(),
            (std::vector<TokenId>{kImStart, kImEnd}));
  for (const std::string text : {"<|im_end|>", "a<|im_end|>b", " <|im_end|> ", "<<|im_end|>>",
                                 "<|im_end|><|im_end|>", "<|im_<|im_end|>end|>"}) {
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAsText).value(), bytes_of(text)) << text;
  }
}

TEST(Tokenizer, TextCannotSmuggleItsOwnMarkersIn) {
  const std::string stand_in = "\uFDD0\U00100001";
  for (const auto special : {SpecialTokens::kAsText, SpecialTokens::kParsed}) {
    EXPECT_EQ(byte_tokenizer()->encode(stand_in, special).value(), bytes_of("\uFFFD\U00100001"));
  }
  EXPECT_EQ(byte_tokenizer()->encode("\uFDD0", SpecialTokens::kAsText).value(), bytes_of("\uFDD0"));
}

TEST(Tokenizer, KnowsItsTokens) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(tokenizer->vocabulary_size(), 259U);
  EXPECT_EQ(tokenizer->token_id("<|im_end|>").value(), kImEnd);
  EXPECT_EQ(tokenizer->token_id("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(tokenizer->token_id("\uFDD0\U00100001").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(tokenizer->is_special(kImEnd));
  EXPECT_FALSE(tokenizer->is_special('a'));
  EXPECT_FALSE(tokenizer->is_special(-1));
}

TEST(Tokenizer, DecodesWithoutSpecialTokensAndUnknownIds) {
  const std::vector<TokenId> tokens = {kImStart, 'h', 'i', kImEnd, -1, 259, 1'000'000};
  EXPECT_EQ(byte_tokenizer()->decode(tokens).value(), "hi");
  EXPECT_EQ(stream_all(*byte_tokenizer(), tokens), "hi");
}

TEST(Tokenizer, IllFormedFilesAreErrors) {
  for (const std::string json : {"", "{", "[]", "{\"model\":{}}", "\xFF"}) {
    EXPECT_EQ(Tokenizer::from_json(json).error().code, ErrorCode::kModelCorrupt) << json;
  }
  EXPECT_EQ(Tokenizer::load("/nonexistent/tokenizer.json").error().code, ErrorCode::kNotFound);
}

TEST(TokenStream, NeverSplitsACharacter) {
  // A family of four code points joined, a flag, CJK, Arabic with marks, combining accents.
  const std::string text =
      "👩‍👩‍👧‍👦🇩🇪漢字 مَرْحَبًا é\u0301 a\u0000b";
  const auto tokens = bytes_of(text);
  EXPECT_EQ(stream_all(*byte_tokenizer(), tokens), text);
  EXPECT_EQ(byte_tokenizer()->decode(tokens).value(), text);
}

TEST(TokenStream, HoldsBackTheStartOfACharacter) {
  TokenStream stream = byte_tokenizer()->stream();
  EXPECT_EQ(stream.push(0xE2).value(), "");
  EXPECT_EQ(stream.push(0x82).value(), "");
  EXPECT_EQ(stream.push(0xAC).value(), "€");
  EXPECT_EQ(stream.push(0xE2).value(), "");
  EXPECT_EQ(stream.finish().value(), "\uFFFD");
}

TEST(TokenStream, IllFormedBytesBecomeReplacementCharacters) {
  for (const std::string bytes : {"\xFF", "a\xC3", "\xE2\x82z", "\xF0\x9F\x98", "\xED\xA0\x80",
                                  "\xC0\xAFx", "\x80\x80", "é\xFFé"}) {
    const auto tokens = bytes_of(bytes);
    EXPECT_EQ(stream_all(*byte_tokenizer(), tokens), to_valid_utf8(bytes));
    EXPECT_EQ(byte_tokenizer()->decode(tokens).value(), to_valid_utf8(bytes));
  }
}

TEST(TokenStream, OutlivesItsTokenizer) {
  auto tokenizer = byte_tokenizer();
  TokenStream stream = tokenizer->stream();
  tokenizer.reset();
  EXPECT_EQ(stream.push('a').value(), "a");
}

}  // namespace
}  // namespace onnxlocal
